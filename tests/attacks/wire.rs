//! Frames and header blocks of HTTP/2 by hand, as no library would send them (RFC 9113 section 4).

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The header block of a gRPC call (RFC 7541, literals without indexing).
pub fn call(path: &str) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    };
    // POST and https stand in the static table.
    let mut out = vec![0x83, 0x87, 0x04];
    text(&mut out, path);
    out.push(0x01);
    text(&mut out, "localhost");
    out.extend([0x0f, 0x10]);
    text(&mut out, "application/grpc");
    out.push(0x00);
    text(&mut out, "te");
    text(&mut out, "trailers");
    out
}

/// A call whose message is empty, to its end.
pub fn whole(path: &str, stream: u32) -> Vec<u8> {
    let mut out = frame(HEADERS, END_HEADERS, stream, &call(path));
    out.extend(frame(DATA, END_STREAM, stream, &[0; 5]));
    out
}
