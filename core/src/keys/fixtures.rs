//! Public keys and one token of each algorithm, made once with OpenSSL 3.0, which is not the
//! implementation under test. The private keys were not kept. The claims are `sub` `user-1`, `jti`
//! `token-1`, and `exp` an hour after [`NOW`](crate::token::builder::NOW).

/// A key for RS256 to PS512.
pub(crate) const RSA_2048: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwL9bIhysadV6lldpvp7B
+nnJJ1HkEKXvcdS/QfwH/KHflVZ0bfq5RQJXw98VRXKdayDUzOSxI6eBPymhgCVV
V/uQf6M3MrsckwAPW7JAtRylTsJPZJXfEvGtCRU+hmPPiCwpJ4dD8F12AC7KfcvC
1HiNVHkAOBRBo19gqIJZG8ru7RvGiLXd1FVeCDYKAbbzkcGfVO2w9xmGIb9KxAR+
qOxT3uVYsAtVv7NZAKO/0XjN7P7Qo2DgAOY6cDx0xQZ78Hi83G0vZh5TwY9rhfvu
bQFtYwjL63fBjiXuCWzt6CZLdErdnRsWDFEFFLpSvBoUWruHLZnYFn7ntzu33z2R
wwIDAQAB
-----END PUBLIC KEY-----
";

/// A key that is too short for all algorithms.
pub(crate) const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDFExo2mZGsp97hZohktkflXw/n
ZnY6/+oSWbl4KHAPYxOLJeoh8M8knN4UoXy+R+bKs5eIrpdnE7QTzB+/bjBSr2k1
3tMZz5VX5hPN7KM1vp5LQHoKNyQtBXd3hYOHif/jLqgGEMkqt3nH1zZA79vr6zEV
GRfZozj5+CPmUgfMIQIDAQAB
-----END PUBLIC KEY-----
";

/// A key for ES256.
pub(crate) const P_256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9ByGPrqy3Sd5IuIdDx/mif8wdZ1G
iqYXzohzuLfe7I/aLPBYgbsVo9kdyHcwTSl8FOPd8+gQynEH40y2XCdqow==
-----END PUBLIC KEY-----
";

/// A key for ES384.
pub(crate) const P_384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE2Ilq2eysZtu2w5dmh+VV6bdDjRkn76jW
i0SArvhDgTiOsgIf1AANfs0CdwFCcCkPrORg6cC88vLf623v/6XjCXEWd15jP+oY
rj0soAPOhwIViA+6DaB938Vjvoug5UO7
-----END PUBLIC KEY-----
";

/// A key for EdDSA.
pub(crate) const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAZdvwuXpZNKY8Q/pLm6xps12I/H99NbZ8V+7a/WwgNZU=
-----END PUBLIC KEY-----
";

/// The name, a key and a token of each algorithm.
pub(crate) const TOKENS: [(&str, &str, &str); 9] = [
    (
        "RS256",
        RSA_2048,
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.I9sR6TqiUyw7igtMGzZWHFK7xYhZnLhZX3oaKjuOTMofDHGc09-PNJpv\
         cDkeuMqSkSUnrhIFoZqKeRqniMba3HieUzoXoj71I8DVfn-q6im1z2sI-GygNiUnvtdlvsVXmhMJxem-\
         6u71MkkEnY7kL0FGJ5C4XRS5tZpc7CNxyN7wyD2N0qLu1tQiyClGURMA2V1Zr43EBkLO_NQqU0FblRvZ\
         gnTfbM2oLVzhx8fhKrTkom-DDkmAzOB5iEFe84uQ9Zig09hxDhOlgBT8pcDhz2nFeeeNLf4ZJ3syPtBP\
         ZAWQRgcRRrivEC_II6jk4_uzEWsyJi5CoyhOxIzW_tZIfw",
    ),
    (
        "RS384",
        RSA_2048,
        "eyJhbGciOiJSUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.h6mfg_6Dqn5UuMttE6EVe9oTHiovJ1z3QhtmmCxxnspW-05-RYF7KIeC\
         px0ZQl_e34u0EdSgs2JaK85YV6708YtbzwNtILf7_0D9MU_14j4CHgURsq_L1hpJE95KRpIBJUdV5dQZ\
         P4TG_nReRQZ9OY3NGj7GW_BzLxRMd2vG1m7iglSK0iQBV8h3BAybLMP8Pyfi2rEQHjqQHrkaePDBvghi\
         T1QTRliQ4BRbwIR0VSSWmo7vi7ZgzgeFFrw9YuasdKuUWZ7s-wyZgFzIbTXOXU-_BKa6sjhjI_C7alG2\
         7ODOKeVJXcK1GvU2V3SHUpC5wU38mijlEsNM1nqUfO25pA",
    ),
    (
        "RS512",
        RSA_2048,
        "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.itjS8FUINnS-gz2YfCfrebvi8KolNW1Hz8rXfM_guMAcm9LWd164Gc26\
         py-toDJ9-dF3hPXjPA1YeFlm103Csg6MElkw-o9dNSNOBhy3mFsHq2txUXWbXicrYrv-Pp7c-UoFQVd7\
         rAOaIzh1dyo4PjbGW36Na-BKzMjJVTccwui5c9lK9uC8srILa_UQnETICd7AjG9bNIm_8LqUkfDtAJSn\
         331CgfuZ7EWrCvozkzjQiPoqtbnVxLNXnYKpxOF6JLD-bG_NTBwv1t8Htr_30RR5_1wYs2_hHGpfayjh\
         HNr8lm_T5H-IKbY1K7TNWEanMldfZmsy9BYhOjz3AHGlzg",
    ),
    (
        "PS256",
        RSA_2048,
        "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.Y1LySEPZxmBjX4mSHLUf3umnxhGp9Zb3Y-K_EXf4V3-OBhBHcSpkcOGd\
         ydJSfRQtEJwBgaYEc5YGf7bKtDrcnlvKmf-jAi2Qe_UAKEMSKqZ8bHsGFcdaK6CHnBFjNDvOOUCIcben\
         ZRApsZqw96pp1lWw4Plk7dsVB-UF6ZORusV3XFg-u5TVuiOwARn6rQGx8qBHhQiOFPoRyepzwGqBKjIy\
         _J8lAB8lfRVdIi-7qNLmZhKN2SdVKgSxTBD0Mgx1SEK2lyTZavejFdIPRDeZYOmb6EafPtH7yvwLrNUa\
         xF12TfuQc-pi9ewbd36BFGIf_ZngAxdQ1Di4geZbEL0Lbw",
    ),
    (
        "PS384",
        RSA_2048,
        "eyJhbGciOiJQUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.tvhuQKyKx7oT4xEbgAWlSCq7DMKKVJ3rtexOikHZM29Gf9xvIxpZkWbT\
         51-dTZUy7bv8EaXJ97hym5EGs7RIAQF8vtSi1-Wv14PlDXTBI3zItYCetYj_EVCEaUkdnKsG0tGF4RA4\
         5Ru5WmcV0WI3afKKtZQIZ-RHbVYMqB11XESSgA8KFlaJo6WLPLl2P4rKniokBTF-vM-PyivFTUk4tAiw\
         Drc9YNMv460Z5NvH2vSgV04XHgDj-HxVpI9aBkbjVHC2B_005ZQDsc-O7Eklu3XEpEu_-9yPXGHLLQHO\
         E79EGa5FJuZtIrCWWgZ31ZK3x8KjkohtKXEOLv9D9j9vhg",
    ),
    (
        "PS512",
        RSA_2048,
        "eyJhbGciOiJQUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.GiBDQaTxhaZm126ZYWSnZ-C3det5sKVv5xlX9dNtXT613aVV_Hos6eJC\
         7TFriK2G27hi05uhKH2UadJj3PJDUlBQH7ssnzT-xXaOALx6JLuRUuQCE8Sf_uSvQnZsKA9sFRJj0XfK\
         I0PJgaAnUrBUWsmfL-aEX9zEgEOZusPFW7sNK94vnxzTDGWSWqVjHeWEHaj-tIhMW3rDSGwAY0bHIslx\
         Xh250Z8doufyvodA1mfPFlA2pCuZrEtDhO9uaX7_RxdiWp4g_oDb99YdOqHayxJQMVx1ehDILvjWTaGi\
         bipi_QF-lm3Ll-vD2qAE65s_u8X-PK2yZwlJpy5fjslGyA",
    ),
    (
        "ES256",
        P_256,
        "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.oafviP6-IV2NZoOSQBqB5eIvgFitT9lj-nppu5nZF54hXulpimQ3gsMO\
         fUxUn4JzxQ29eGAJsK-IKiiFh0hpLg",
    ),
    (
        "ES384",
        P_384,
        "eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.4iNj0apmuUCerC8aH4XZ9FDSKAn2T_D_31CM6vjx7eQMxMsY9lDCsfNL\
         -MM0lBHcaZXUTBYamziCj4GwGhic8YZC9RaRy1ipmGc7lGBisxgxZ0fW24dJpOHG6h50jOv-",
    ),
    (
        "EdDSA",
        ED25519,
        "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
         iZXhwIjoxNzk1MzM1NzIwfQ.Rj_bNUhp0FZny2-qonzkasbIXE8OHoKE3OFYn9hejvfot-7faDIar_07\
         YAMOuvJd14Y4QfNBzekTI7Q1vGYSCg",
    ),
];

/// A token by [`RSA_2048`] with a salt of 20 bytes. RFC 7518 §3.5 requires the length of the hash.
pub(crate) const PS256_SHORT_SALT: &str = "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEiLCJqdGkiOiJ0b2tlbi0xIiw\
     iZXhwIjoxNzk1MzM1NzIwfQ.rMZl9GCHddI6w2-OrC8-HFT5s1_29qSHfan-GBXYmZGD1T79ZH-sBezx\
     vbd44fYyS2WwUOUHtateAr18J4sug_Bi6nWo1eJAsSOUpEBd3RFYADolU1gn099I2Qr0XnC048Ihg1jf\
     fWsBWQCHvr-9nr5KU63szsOxIwMKPH0A6XKYyuTsDcZEVwU9b0vnOLu2fZQWyVzUNjjynJzxD8jl7jz_\
     JYLRIzoGczNBJAudDPh444cYUlIY3a7f55SH9-dmJpOCsvdGx3rxOUv0fVxEDAwIZ9Dh5C9f3ajWQ364\
     1XCxRyc2tN2DxF_O9I4-YVo_QHaC6sHemdEAdIFQ6RN4XQ";
