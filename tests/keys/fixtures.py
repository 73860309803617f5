"""Makes fixtures.json: public keys, and tokens signed by OpenSSL, which is not the code under test.

Run: python3 tests/keys/fixtures.py > tests/keys/fixtures.json   (needs the openssl command, 3.0 or later)

The private keys are made anew and not kept. The tokens name `ada` and have no `exp`.
"""

import base64, json, subprocess, tempfile

HASHES = {"256": "sha256", "384": "sha384", "512": "sha512"}
KEYS = {
    "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "P-256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "Ed25519": ["-algorithm", "ED25519"],
    "a stranger's RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}
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
own = {name: key for name, key in keys.items() if key is not stranger}
fixtures = {
    "pem": {name: key.pem for name, key in own.items()},
    "jwk": {name: key.jwk() for name, key in own.items()},
    "tokens": tokens,
}
print(json.dumps(fixtures, indent=1))
