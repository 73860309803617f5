//! Is this an ECDSA signature, and what is it in DER?
//!
//! A token has r and s one after the other, each as long as the order n of the curve (RFC 7518 §3.4);
//! both are 1 to n − 1 (FIPS 186-5 §6.4.2), which verifiers have forgotten to check (CVE-2022-21449).

/// The signature in DER (RFC 3279 §2.2.3), if it is one for a curve of that order.
pub(super) fn to_der(signature: &[u8], order: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(order.len())?;
    let in_range = |number: &[u8]| number.len() == order.len() && number < order;
    if !in_range(r) || !in_range(s) {
        return None;
    }
    let numbers = [integer(r)?, integer(s)?].concat();
    Some([&[SEQUENCE, short_length(&numbers)?], &*numbers].concat())
}

/// The shortest form: no leading zeros, but one where the number would read as negative. `None` for 0.
fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let first = number.iter().position(|byte| *byte != 0)?;
    let mut digits = number.get(first..)?.to_vec();
    if digits.first().is_some_and(|byte| *byte >= 0x80) {
        digits.insert(0, 0);
    }
    Some([&[INTEGER, short_length(&digits)?], &*digits].concat())
}

/// One byte does for both curves: at most 102 bytes in all.
fn short_length(bytes: &[u8]) -> Option<u8> {
    u8::try_from(bytes.len()).ok().filter(|length| *length < 0x80)
}

const INTEGER: u8 = 2;
const SEQUENCE: u8 = 0x30;

/// n of P-256 (SP 800-186 §3.2.1.3).
pub(super) const ORDER_OF_P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// n of P-384 (SP 800-186 §3.2.1.4).
pub(super) const ORDER_OF_P384: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(n: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[31] = n;
        bytes
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        let der = |r, s| to_der(&[number(r), number(s)].concat(), &ORDER_OF_P256);
        assert_eq!(der(1, 0x7f).unwrap(), [0x30, 6, 2, 1, 1, 2, 1, 0x7f]);
        assert_eq!(der(0x80, 0xff).unwrap(), [0x30, 8, 2, 2, 0, 0x80, 2, 2, 0, 0xff]);
    }

    #[test]
    fn both_numbers_are_at_least_one_and_below_the_order() {
        let mut last = ORDER_OF_P256;
        last[31] -= 1;
        let mut above = ORDER_OF_P256;
        above[31] += 1;
        for (n, valid) in [
            (number(0), false),
            (number(1), true),
            (last, true),
            (ORDER_OF_P256, false),
            (above, false),
            ([0xff; 32], false),
        ] {
            let der = |r: [u8; 32], s: [u8; 32]| to_der(&[r, s].concat(), &ORDER_OF_P256);
            assert_eq!(der(n, number(1)).is_some(), valid, "r {n:?}");
            assert_eq!(der(number(1), n).is_some(), valid, "s {n:?}");
        }
    }

    #[test]
    fn what_needs_a_longer_length_is_not_written() {
        let der = |bytes: usize| to_der(&vec![1; 2 * bytes], &vec![0xff; bytes]);
        assert_eq!(der(61).map(|der| der.len()), Some(2 + 2 * 63));
        assert_eq!(der(62), None);
    }

    #[test]
    fn only_the_one_length_is_taken() {
        for length in 0..200 {
            let signature = vec![1; length];
            assert_eq!(to_der(&signature, &ORDER_OF_P256).is_some(), length == 64, "{length}");
            assert_eq!(to_der(&signature, &ORDER_OF_P384).is_some(), length == 96, "{length}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_back_as_the_same_signature(signature in prop::collection::vec(any::<u8>(), 64)) {
            let read = p256::ecdsa::Signature::from_slice(&signature).ok();
            let der = to_der(&signature, &ORDER_OF_P256);
            prop_assert_eq!(der, read.map(|signature| signature.to_der().as_bytes().to_vec()));
        }

        #[test]
        fn also_on_the_longer_curve(signature in prop::collection::vec(any::<u8>(), 96)) {
            let read = p384::ecdsa::Signature::from_slice(&signature).ok();
            let der = to_der(&signature, &ORDER_OF_P384);
            prop_assert_eq!(der, read.map(|signature| signature.to_der().as_bytes().to_vec()));
        }
    }
}
