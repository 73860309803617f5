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
/// Frame type CONTINUATION.
pub const CONTINUATION: u8 = 9;

/// Flag END_STREAM.
pub const END_STREAM: u8 = 0x1;
/// Flag END_HEADERS.
pub const END_HEADERS: u8 = 0x4;

/// The length of a frame without its payload.
pub const FRAME_HEADER_BYTES: usize = 9;

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

/// Encodes a request without a body, in as many frames as its header fields need (RFC 9113 §6.10).
#[must_use]
pub fn request(stream: u32, header: &[(&[u8], &[u8])]) -> Vec<u8> {
    let block = fields(header);
    let mut fragments = block.chunks(SMALLEST_MAX_FRAME_SIZE).peekable();
    let (mut bytes, mut kind, mut flags) = (Vec::new(), HEADERS, END_STREAM);
    while let Some(fragment) = fragments.next() {
        flags |= if fragments.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags, stream, fragment));
        (kind, flags) = (CONTINUATION, 0);
    }
    bytes
}

/// Encodes a whole HTTP/2 connection: the preface, then `count` requests, each reset at once.
///
/// The first request sends its header fields as literals that the receiver adds to its dynamic table
/// (RFC 7541 §6.2.1). The others send one byte per field (§6.1), so a request takes few bytes.
///
/// # Panics
/// There are more than 65 fields. (All fields must fit into the dynamic table of 4,096 bytes, in
/// which a field takes 32 bytes more than its name and value. That is not checked.)
#[must_use]
pub fn reset_requests(header: &[(&[u8], &[u8])], count: u32) -> Vec<u8> {
    let indexed = |(name, value): &(&[u8], &[u8])| [&[0x40], &*text(name), &*text(value)].concat();
    let literals: Vec<u8> = header.iter().flat_map(indexed).collect();
    // The static table has 61 entries. The newest field has index 62, the oldest the highest.
    let oldest = u8::try_from(header.len()).expect("few fields") + 61;
    assert!(oldest < 0x7f, "an index of one byte");
    let indices: Vec<u8> = (62..=oldest).rev().map(|index| 0x80 | index).collect();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for number in 0..count {
        let (stream, block) = (2 * number + 1, if number == 0 { &literals } else { &indices });
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, block));
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    bytes
}

/// The frame size that every receiver accepts (RFC 9113 §4.2).
const SMALLEST_MAX_FRAME_SIZE: usize = 16_384;

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
