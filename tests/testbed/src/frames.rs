//! HTTP/2 by hand, for what no library sends: frames (RFC 9113 §4.1) and header fields (RFC 7541).

/// What a client sends before its first frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A piece of a body.
pub const DATA: u8 = 0;
/// The header fields of a request or of an answer.
pub const HEADERS: u8 = 1;
/// The end of a stream, at once.
pub const RST_STREAM: u8 = 3;
/// What an end expects of the other.
pub const SETTINGS: u8 = 4;
/// To be answered.
pub const PING: u8 = 6;
/// The end of the connection.
pub const GOAWAY: u8 = 7;
/// Room for more bytes.
pub const WINDOW_UPDATE: u8 = 8;

/// Flag: nothing follows on this stream.
pub const END_STREAM: u8 = 0x1;
/// Flag: the header fields are complete.
pub const END_HEADERS: u8 = 0x4;

/// One frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields as literals without indexing and without Huffman (RFC 7541 §6.2.2), whatever is in
/// them.
#[must_use]
pub fn fields(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0], &*text(name), &*text(value)].concat()).collect()
}

/// A string literal: its length in 7 bits, more in pieces of 7 (RFC 7541 §5.1, §5.2).
fn text(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match bytes.len().checked_sub(0x7f) {
        None => text.push(u8::try_from(bytes.len()).expect("a short one")),
        Some(mut rest) => {
            text.push(0x7f);
            while rest >= 0x80 {
                text.push(u8::try_from(rest % 0x80).expect("7 bits") | 0x80);
                rest /= 0x80;
            }
            text.push(u8::try_from(rest).expect("7 bits"));
        }
    }
    [&text, bytes].concat()
}
