"""Makes fixtures.json: public keys, and tokens signed by OpenSSL, which is not the code under test.

Run: python3 tests/keys/fixtures.py > tests/keys/fixtures.json   (needs the openssl command, 3.0 or later)

Each run makes new private keys and does not keep them. The tokens name `ada` and have no `exp`.
"""

import base64, hashlib, json, subprocess, tempfile

HASHES = {"256": "sha256", "384": "sha384", "512": "sha512"}
KEYS = {
    "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "P-256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "Ed25519": ["-algorithm", "ED25519"],
    "a stranger's RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}
BITS = 2048
ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BYTES = {"P-256": 32, "P-384": 48}


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True).stdout


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, name):
        self.name = name
        self.file = tempfile.NamedTemporaryFile(suffix=".pem")
        self.file.write(openssl("genpkey", *KEYS[name]))
        self.file.flush()
        self.pem = openssl("pkey", "-in", self.file.name, "-pubout").decode()

    def jwk(self):
        der = openssl("pkey", "-pubin", "-outform", "DER", given=self.pem.encode())
        if self.name in BYTES:
            size = BYTES[self.name]
            x, y = der[-2 * size : -size], der[-size:]
            return {"kty": "EC", "crv": self.name, "x": encoded(x), "y": encoded(y)}
        if self.name == "Ed25519":
            return {"kty": "OKP", "crv": "Ed25519", "x": encoded(der[-32:])}
        modulus = openssl("rsa", "-pubin", "-noout", "-modulus", given=self.pem.encode())
        return {"kty": "RSA", "n": encoded(bytes.fromhex(modulus.decode().split("=")[1])), "e": "AQAB"}

    def signature(self, algorithm, text):
        """In DER for ECDSA."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            if algorithm == "EdDSA":
                return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file.name, "-in", file.name)
            hash = "-" + HASHES[algorithm[2:]]
            pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
            options = pss if algorithm.startswith("PS") else []
            return openssl("dgst", hash, *options, "-sign", self.file.name, file.name)

    def power(self, block):
        """The private operation of RSA on a block of any content."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(block)
            file.flush()
            options = ["-pkeyopt", "rsa_padding_mode:none"]
            return openssl("pkeyutl", "-decrypt", "-inkey", self.file.name, "-in", file.name, *options)

    def modulus(self):
        return int.from_bytes(base64.urlsafe_b64decode(self.jwk()["n"] + "=="), "big")

    def scalar(self):
        """The private number of a key on a curve."""
        der = openssl("ec", "-in", self.file.name, "-outform", "DER")
        return int.from_bytes(der[7 : 7 + BYTES[self.name]], "big")

    def raw_signature(self, algorithm, text):
        signature = self.signature(algorithm, text)
        if algorithm.startswith("ES"):
            return b"".join(n.to_bytes(BYTES[self.name], "big") for n in numbers(signature))
        return signature


def numbers(der):
    length = der[3]
    return int.from_bytes(der[4 : 4 + length], "big"), int.from_bytes(der[6 + length :], "big")


def input_of(algorithm, jti="one", **header):
    header = {"alg": algorithm, **header}
    claims = {"sub": "ada", "jti": jti}
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))


def token(key, algorithm, signed_as=None, jti="one", **header):
    text = input_of(algorithm, jti, **header)
    return f"{text}.{encoded(key.raw_signature(signed_as or algorithm, text.encode()))}"


def with_signature(text, signature):
    return f"{text}.{encoded(signature)}"


# What RFC 8017 §9.2 puts before a hash by SHA-256, and what it must not be.
SHA_256 = bytes.fromhex("0609608648016503040201")
HASH = b"\x04\x20"


def sequence(*parts, long=False):
    whole = b"".join(parts)
    return b"\x30" + (b"\x81" if long else b"") + bytes([len(whole)]) + whole


def pkcs1_blocks(text):
    """Blocks of RSASSA-PKCS1-v1_5, the first of them right; the others as Project Wycheproof bends them."""
    digest = hashlib.sha256(text).digest()
    named = lambda *name: sequence(sequence(*name), HASH + digest)
    right = named(SHA_256, b"\x05\x00")
    padded = lambda rest, kind=b"\x01", fill=b"\xff": (
        b"\x00" + kind + fill * (BITS // 8 - 3 - len(rest)) + b"\x00" + rest
    )
    whole = padded(right)
    return {
        "padded by hand": whole,
        "without the NULL beside the hash": padded(named(SHA_256)),
        "with a NULL of one byte": padded(named(SHA_256, b"\x05\x01\x00")),
        "with a length in its long form": padded(sequence(sequence(SHA_256, b"\x05\x00"), HASH + digest, long=True)),
        "with a hash of no name": padded(digest),
        "with the name of SHA-1": padded(named(bytes.fromhex("06052b0e03021a"), b"\x05\x00")),
        "with a byte behind the hash": padded(right + b"\x00"),
        "with the hash in front and rest behind": b"\x00\x01" + b"\xff" * 8 + b"\x00" + right + bytes(BITS // 8 - 11 - len(right)),
        "padded with zeros": padded(right, fill=b"\x00"),
        "of block type 0": padded(right, kind=b"\x00"),
        "of block type 2": padded(right, kind=b"\x02"),
        "with a byte of padding changed": whole[:50] + b"\xfe" + whole[51:],
        "without the zero before the hash": whole[: -len(right) - 1] + b"\xff" + right,
        "with a hash of one bit changed": whole[:-1] + bytes([whole[-1] ^ 1]),
    }


def mgf1(seed, length, hash):
    blocks = (hash(seed + counter.to_bytes(4, "big")).digest() for counter in range(length))
    mask = b""
    while len(mask) < length:
        mask += next(blocks)
    return mask[:length]


def pss_block(text, salt=bytes(range(32)), mask=hashlib.sha256, between=b"\x01", last=b"\xbc", zeros=bytes(8)):
    """A block of RSASSA-PSS (RFC 8017 §9.1.1); each argument is one thing that may be wrong."""
    inner = hashlib.sha256(zeros + hashlib.sha256(text).digest() + salt).digest()
    size = BITS // 8 - len(inner) - 1
    data = bytes(size - len(salt) - 1) + between + salt
    masked = bytearray(a ^ b for a, b in zip(data, mgf1(inner, size, mask)))
    masked[0] &= 0x7F
    return bytes(masked) + inner + last


def pss_blocks(text):
    """The first of them is right."""
    return {
        "masked by hand": pss_block(text),
        "with no salt": pss_block(text, salt=b""),
        "with a salt of 20 bytes": pss_block(text, salt=bytes(20)),
        "with the longest salt": pss_block(text, salt=bytes(range(222))),
        "masked with SHA-1": pss_block(text, mask=hashlib.sha1),
        "masked with SHA-512": pss_block(text, mask=hashlib.sha512),
        "without the one before the salt": pss_block(text, between=b"\x02"),
        "with another last byte": pss_block(text, last=b"\xcc"),
        "with another hash inside": pss_block(text, zeros=bytes(7) + b"\x01"),
    }


def token_whose_signature(key, algorithm, matches):
    for n in range(100_000):
        made = token(key, algorithm, jti=f"jti-{n}")
        if matches(base64.urlsafe_b64decode(made.rsplit(".", 1)[1] + "==")):
            return made


keys = {name: Key(name) for name in KEYS}
rsa, p256, p384, ed25519 = (keys[name] for name in ["RSA", "P-256", "P-384", "Ed25519"])
stranger = keys["a stranger's RSA"]
plain = {f"{kind}{bits}": rsa for kind in ["RS", "PS"] for bits in HASHES}
plain |= {"ES256": p256, "ES384": p384, "EdDSA": ed25519}

text = input_of("ES256")
der = p256.signature("ES256", text.encode())
r, s = numbers(der)
twin = r.to_bytes(32, "big") + (ORDER_OF_P256 - s).to_bytes(32, "big")

tokens = {algorithm: token(key, algorithm) for algorithm, key in plain.items()}
tokens |= {
    "RS256 signed as PS256": token(rsa, "RS256", "PS256"),
    "PS256 signed as RS256": token(rsa, "PS256", "RS256"),
    "RS256 signed as RS512": token(rsa, "RS256", "RS512"),
    "ES384 signed by P-256": token(p256, "ES384"),
    "ES256 signed by P-384": token(p384, "ES256"),
    "ES256 in DER": f"{text}.{encoded(der)}",
    "ES256 the twin of a signature": f"{text}.{encoded(twin)}",
    "RS256 of its own kid": token(rsa, "RS256", kid="RS256"),
    "RS256 of another kid": token(rsa, "RS256", kid="ES256"),
    "RS256 of a kid that is a path": token(rsa, "RS256", kid="../RS256"),
    "RS256 of a kid that is a query": token(rsa, "RS256", kid="RS256' OR '1'='1"),
    "RS256 with a key of its own": token(stranger, "RS256", jwk=stranger.jwk()),
    "RS256 by a stranger": token(stranger, "RS256"),
    "RS256 that begins with zero": token_whose_signature(rsa, "RS256", lambda s: s[0] == 0),
    "ES256 whose r begins with zero": token_whose_signature(p256, "ES256", lambda s: s[0] == 0),
    "ES256 whose s begins with zero": token_whose_signature(p256, "ES256", lambda s: s[32] == 0),
}
rs256, ps256 = (input_of(algorithm) for algorithm in ["RS256", "PS256"])
tokens |= {f"RS256 {name}": with_signature(rs256, rsa.power(block)) for name, block in pkcs1_blocks(rs256.encode()).items()}
tokens |= {f"PS256 {name}": with_signature(ps256, rsa.power(block)) for name, block in pss_blocks(ps256.encode()).items()}


def and_the_modulus(signature):
    return (int.from_bytes(signature, "big") + rsa.modulus()).to_bytes(BITS // 8 + 1, "big")


small = token_whose_signature(rsa, "RS256", lambda signature: and_the_modulus(signature)[0] == 0)
small, signature = small.rsplit(".", 1)
signature = and_the_modulus(base64.urlsafe_b64decode(signature + "=="))[1:]
tokens["RS256 with the modulus added"] = with_signature(small, signature)
# r = -e / d: then e·G + r·Q is the point at infinity, which has no x to compare with r.
e = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
r = -e * pow(p256.scalar(), -1, ORDER_OF_P256) % ORDER_OF_P256
tokens["ES256 whose point is at infinity"] = with_signature(text, r.to_bytes(32, "big") + (1).to_bytes(32, "big"))

own = {name: key for name, key in keys.items() if key is not stranger}
fixtures = {
    "pem": {name: key.pem for name, key in own.items()},
    "jwk": {name: key.jwk() for name, key in own.items()},
    "tokens": tokens,
}
print(json.dumps(fixtures, indent=1))
