//! Values of the index: a 16-byte key, then the value; raw, and with the checksum made right.
#![no_main]

use hotwork::store::index::record::Chunk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (key, value) = bytes.split_at(bytes.len().min(16));
    read(key, value);
    let Some(body) = value.len().checked_sub(4) else { return };
    let mut mended = value[..body].to_vec();
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &mended);
    mended.extend(crc.to_le_bytes());
    read(key, &mended);
});

fn read(key: &[u8], value: &[u8]) {
    let Ok(chunk) = Chunk::parse(key, value) else { return };
    let again = Chunk::parse(&chunk.key(), &chunk.encode()).expect("our own value is read back");
    assert_eq!(again, chunk);
}
