//! Raw HTTP/2, which no library sends: frames (RFC 9113 §4.1) and header fields (RFC 7541).

/// The client connection preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame type DATA.
pub const DATA: u8 = 0;
/// Frame type HEADERS.
pub const HEADERS: u8 = 1;
/// Frame type RST_STREAM.
pub const RST_STREAM: u8 = 3;
/// Frame type SETTINGS.
pub const SETTINGS: u8 = 4;
/// Frame type PING.
pub const PING: u8 = 6;
/// Frame type GOAWAY.
pub const GOAWAY: u8 = 7;
/// Frame type WINDOW_UPDATE.
pub const WINDOW_UPDATE: u8 = 8;

/// Flag END_STREAM.
pub const END_STREAM: u8 = 0x1;
/// Flag END_HEADERS.
pub const END_HEADERS: u8 = 0x4;

/// Encodes one frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes header fields as literals without indexing and without Huffman (RFC 7541 §6.2.2), with any
/// content.
#[must_use]
pub fn fields(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0], &*text(name), &*text(value)].concat()).collect()
}

/// Encodes a string literal with its length as an integer with a 7-bit prefix (RFC 7541 §5.1, §5.2).
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
