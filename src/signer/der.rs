//! The little of DER (X.690) that keys, requests and certificates need: a writer of elements and a strict
//! reader.
//!
//! The reader takes one spelling only (definite minimal lengths, low tag numbers), so that what is read is
//! what another parser would read. It knows no X.509.

/// Tags, with the constructed bit where it belongs.
pub(super) mod tag {
    pub(in super::super) const BOOLEAN: u8 = 0x01;
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const BIT_STRING: u8 = 0x03;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const OID: u8 = 0x06;
    pub(in super::super) const ENUMERATED: u8 = 0x0a;
    pub(in super::super) const UTF8_STRING: u8 = 0x0c;
    pub(in super::super) const UTC_TIME: u8 = 0x17;
    pub(in super::super) const GENERALIZED_TIME: u8 = 0x18;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;
    /// `[0]` constructed: a certificate's version, a request's attributes.
    pub(in super::super) const CONTEXT_0: u8 = 0xa0;
    /// `[3]` constructed: a certificate's extensions.
    pub(in super::super) const CONTEXT_3: u8 = 0xa3;
    /// `[0]` primitive: the key id of an authority key identifier.
    pub(in super::super) const KEY_ID: u8 = 0x80;
    /// `[6]` primitive: the URI of a general name.
    pub(in super::super) const URI: u8 = 0x86;
}

/// Constructed elements inside each other; a certificate has about eight.
const DEPTH_MAX: usize = 16;

/// The bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not in strict DER form")]
pub struct BadDer;

/// Appends one element.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let digits = length.get(significant..).unwrap_or_default();
    if content.len() >= 0x80 {
        // The count of a `usize`'s bytes is at most 8.
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
    }
    out.extend_from_slice(digits);
    out.extend_from_slice(content);
}

/// One element whose content is the parts, one after the other.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = Vec::with_capacity(content.len() + 6);
    put(&mut out, tag, &content);
    out
}

/// A BIT STRING of whole octets.
pub(super) fn bit_string(octets: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], octets])
}

/// A non-negative INTEGER from big-endian octets.
pub(super) fn unsigned(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|byte| **byte == 0).count();
    let digits = octets.get(zeros..).unwrap_or_default();
    // A first bit of 1 would read as negative, and zero needs an octet.
    let pad: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    element(tag::INTEGER, &[pad, digits])
}

/// Reads elements from front to back.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, BadDer> {
        let start = self.rest;
        let (&tag, rest) = start.split_first().ok_or(BadDer)?;
        if tag & 0x1f == 0x1f {
            return Err(BadDer);
        }
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length).ok_or(BadDer)?;
        self.rest = rest;
        let whole = start.get(..start.len() - rest.len()).ok_or(BadDer)?;
        Ok(Element { tag, content, whole })
    }

    /// The content of the next element, which has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], BadDer> {
        let element = self.any()?;
        if element.tag == tag { Ok(element.content) } else { Err(BadDer) }
    }

    /// The next element whole, which has this tag.
    pub(super) fn expect_whole(&mut self, tag: u8) -> Result<&'a [u8], BadDer> {
        let element = self.any()?;
        if element.tag == tag { Ok(element.whole) } else { Err(BadDer) }
    }

    /// A reader of the next element's content, which has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Result<Self, BadDer> {
        self.expect(tag).map(Self::new)
    }

    /// The content of the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, BadDer> {
        if self.rest.first() == Some(&tag) { self.expect(tag).map(Some) } else { Ok(None) }
    }

    /// The octets of a BIT STRING without unused bits.
    pub(super) fn bit_string(&mut self) -> Result<&'a [u8], BadDer> {
        match self.expect(tag::BIT_STRING)?.split_first() {
            Some((0, octets)) => Ok(octets),
            Some(_) | None => Err(BadDer),
        }
    }

    /// The text of a UTF8String.
    pub(super) fn utf8(&mut self) -> Result<&'a str, BadDer> {
        std::str::from_utf8(self.expect(tag::UTF8_STRING)?).map_err(|_| BadDer)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub(super) const fn finish(&self) -> Result<(), BadDer> {
        if self.rest.is_empty() { Ok(()) } else { Err(BadDer) }
    }
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), BadDer> {
    let (&first, rest) = bytes.split_first().ok_or(BadDer)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    let (digits, rest) = rest.split_at_checked(count).ok_or(BadDer)?;
    // Zero digits would be BER's indefinite form; four are 4 GiB.
    let length = digits.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    let minimal = length >= 0x80 && digits.first().is_some_and(|byte| *byte != 0);
    if minimal && count <= 4 { Ok((length, rest)) } else { Err(BadDer) }
}

/// Holds every element, however deep, to the strict form: exactly one at the top.
pub(super) fn check(bytes: &[u8]) -> Result<(), BadDer> {
    let mut reader = Reader::new(bytes);
    let top = reader.any()?;
    reader.finish()?;
    check_inside(top, DEPTH_MAX)
}

fn check_inside(element: Element<'_>, depth: usize) -> Result<(), BadDer> {
    if element.tag & 0x20 == 0 {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(BadDer)?;
    let mut reader = Reader::new(element.content);
    while !reader.is_empty() {
        check_inside(reader.any()?, depth)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form_and_read_back() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; size];
            let bytes = element(tag::OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.expect(tag::OCTET_STRING), Ok(&*content), "{size}");
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn a_second_spelling_of_a_length_is_refused() {
        for bad in [
            &[0x04, 0x81, 0x01, 0x00][..],
            &[0x04, 0x80, 0x00, 0x00],
            &[0x04, 0x82, 0x00, 0x80],
            &[0x04, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x1f, 0x01, 0x00],
            &[0x04, 0x02, 0x00],
            &[0x04],
            &[],
        ] {
            assert!(Reader::new(bad).any().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nest = |n: usize| (0..n).fold(Vec::new(), |inner, _| element(tag::SEQUENCE, &[&inner]));
        assert_eq!(check(&nest(DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nest(DEPTH_MAX + 1)), Err(BadDer));
        assert_eq!(check(&[0x30, 0x02, 0x04, 0x05]), Err(BadDer));
        assert_eq!(check(&[0x30, 0x00, 0x00]), Err(BadDer));
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
    }
}
