//! Checks signatures with Envoy's foreign function `verify_signature`.
//!
//! Its argument and result are protocol buffers (`verify_signature.proto` of Envoy's wasm
//! extension). A proxy without this function returns [`raw::NOT_FOUND`] on the first call. The VM
//! remembers that and does not call it again.

use std::cell::Cell;

use session_guard_core::keys::host::{SignatureCheck, SignatureHost};

use crate::raw;

/// Signature verification by the proxy's own cryptography library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostSignatures;

thread_local! {
    static IS_ABSENT: Cell<bool> = const { Cell::new(false) };
}

impl SignatureHost for HostSignatures {
    fn verify(&self, check: &SignatureCheck<'_>) -> Option<bool> {
        if IS_ABSENT.get() {
            return None;
        }
        match raw::call("verify_signature", &argument(check)) {
            Ok(result) => verdict(&result),
            Err(status) => {
                IS_ABSENT.set(status == raw::NOT_FOUND);
                None
            }
        }
    }
}

/// Encodes `VerifySignatureArguments`: field 1 is `hash_function`, 2 is `public_key`, 3 is
/// `signature` and 4 is `text`.
fn argument(check: &SignatureCheck<'_>) -> Vec<u8> {
    let SignatureCheck { hash, public_key, signature, text } = *check;
    let fields = [(1, hash.as_bytes()), (2, public_key), (3, signature), (4, text)];
    let length: usize = fields.iter().map(|(_, bytes)| FIELD_OVERHEAD_BYTES + bytes.len()).sum();
    let mut message = Vec::with_capacity(length);
    for (number, bytes) in fields {
        message.push(number << 3 | LENGTH_DELIMITED);
        push_varint(&mut message, bytes.len());
        message.extend_from_slice(bytes);
    }
    message
}

fn push_varint(message: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        message.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// Decodes `VerifySignatureResult`: field 1 is `result`, field 2 is `error`. Protocol buffers leave
/// out fields that are false or empty, so an empty message means that the signature is not valid,
/// as does an error. Returns `None` for a message of any other form.
fn verdict(result: &[u8]) -> Option<bool> {
    match result {
        [RESULT, 1] => Some(true),
        [] | [ERROR, ..] => Some(false),
        _ => None,
    }
}

const LENGTH_DELIMITED: u8 = 2;
const RESULT: u8 = 1 << 3;
const ERROR: u8 = 2 << 3 | LENGTH_DELIMITED;

/// An upper bound for the bytes of a field's tag and length.
const FIELD_OVERHEAD_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_is_a_protobuf_message_of_four_fields() {
        let text = [b't'; 300];
        let check = SignatureCheck {
            hash: "sha256",
            public_key: b"key",
            signature: b"signed",
            text: &text,
        };
        let expected =
            [&b"\x0a\x06sha256\x12\x03key\x1a\x06signed\x22\xac\x02"[..], &text].concat();
        assert_eq!(argument(&check), expected);
    }

    #[test]
    fn only_a_plain_result_is_a_verdict() {
        for (result, expected) in [
            (&b"\x08\x01"[..], Some(true)),
            (b"", Some(false)),
            (b"\x12\x03bad", Some(false)),
            (b"\x08\x00", None),
            (b"\x08\x01\x12\x03bad", None),
            (b"\x08\x02", None),
            (b"\x08", None),
        ] {
            assert_eq!(verdict(result), expected, "{}", result.escape_ascii());
        }
    }
}
