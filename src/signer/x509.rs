//! Certificates as they are read: the outer frame and the to-be-signed part, strictly (RFC 5280).

use super::der::{BadDer, Reader, tag};

/// Object identifiers, as the content octets of DER.
pub(super) mod oid {
    pub(in super::super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    pub(in super::super) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
    pub(in super::super) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    pub(in super::super) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    pub(in super::super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    pub(in super::super) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
    pub(in super::super) const CRL_REASON: &[u8] = &[0x55, 0x1d, 0x15];
    pub(in super::super) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
    pub(in super::super) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
    pub(in super::super) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    pub(in super::super) const NO_REV_AVAIL: &[u8] = &[0x55, 0x1d, 0x38];
    pub(in super::super) const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    pub(in super::super) const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    pub(in super::super) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    pub(in super::super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    pub(in super::super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(in super::super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    pub(in super::super) const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    pub(in super::super) const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
    pub(in super::super) const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
    pub(in super::super) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
}

/// Something signed (a certificate, a request): what was signed, how, and the signature.
pub(super) struct Signed<'a> {
    pub(super) message: &'a [u8],
    /// The AlgorithmIdentifier, whole.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// A to-be-signed certificate.
pub(super) struct Tbs<'a> {
    /// The serial number's octets, without a sign octet.
    pub(super) serial: &'a [u8],
    /// The AlgorithmIdentifier, whole.
    pub(super) algorithm: &'a [u8],
    /// The issuer's name, whole.
    pub(super) issuer: &'a [u8],
    /// Seconds since the epoch.
    pub(super) not_before: i64,
    /// Seconds since the epoch; the last moment that counts.
    pub(super) not_after: i64,
    /// The subject's name, whole.
    pub(super) subject: &'a [u8],
    /// The SubjectPublicKeyInfo, whole.
    pub(super) public_key: &'a [u8],
    /// Each object identifier once.
    pub(super) extensions: Vec<Extension<'a>>,
}

/// One extension.
#[derive(Clone, Copy)]
pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, BadDer> {
        let mut outer = Reader::new(der);
        let mut inner = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        let message = inner.expect_whole(tag::SEQUENCE)?;
        let algorithm = inner.expect_whole(tag::SEQUENCE)?;
        let signature = inner.bit_string()?;
        inner.finish()?;
        Ok(Self { message, algorithm, signature })
    }
}

impl<'a> Tbs<'a> {
    /// Reads a version 3 certificate with extensions and without unique identifiers, which nobody uses.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, BadDer> {
        let mut outer = Reader::new(der);
        let mut tbs = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        if tbs.expect(tag::CONTEXT_0)? != [tag::INTEGER, 1, 2] {
            return Err(BadDer);
        }
        let serial = positive(tbs.expect(tag::INTEGER)?)?;
        let algorithm = tbs.expect_whole(tag::SEQUENCE)?;
        let issuer = tbs.expect_whole(tag::SEQUENCE)?;
        let mut validity = tbs.enter(tag::SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        validity.finish()?;
        let subject = tbs.expect_whole(tag::SEQUENCE)?;
        let public_key = tbs.expect_whole(tag::SEQUENCE)?;
        let mut explicit = tbs.enter(tag::CONTEXT_3)?;
        tbs.finish()?;
        let list = explicit.enter(tag::SEQUENCE)?;
        explicit.finish()?;
        let extensions = extensions(list)?;
        Ok(Self { serial, algorithm, issuer, not_before, not_after, subject, public_key, extensions })
    }

    /// The extension of this identifier.
    pub(super) fn extension(&self, oid: &[u8]) -> Option<Extension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid).copied()
    }

    /// The one URI of the subject's alternative names, when it is the only name.
    pub(super) fn only_uri(&self) -> Result<&'a str, BadDer> {
        let names = self.extension(oid::SUBJECT_ALT_NAME).ok_or(BadDer)?;
        let mut outer = Reader::new(names.value);
        let mut list = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        let uri = list.expect(tag::URI)?;
        list.finish()?;
        std::str::from_utf8(uri).map_err(|_| BadDer)
    }
}

/// The octets of a positive INTEGER without its sign octet.
fn positive(content: &[u8]) -> Result<&[u8], BadDer> {
    match content {
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Ok(rest),
        [first, ..] if (1..0x80).contains(first) => Ok(content),
        _ => Err(BadDer),
    }
}

fn extensions(mut list: Reader<'_>) -> Result<Vec<Extension<'_>>, BadDer> {
    let mut extensions: Vec<Extension<'_>> = Vec::with_capacity(10);
    while !list.is_empty() {
        let mut one = list.enter(tag::SEQUENCE)?;
        let oid = one.expect(tag::OID)?;
        let critical = match one.optional(tag::BOOLEAN)? {
            None => false,
            Some([0xff]) => true,
            // FALSE is the default, which DER leaves out; other octets are BER.
            Some(_) => return Err(BadDer),
        };
        let value = one.expect(tag::OCTET_STRING)?;
        one.finish()?;
        if extensions.iter().any(|earlier| earlier.oid == oid) {
            return Err(BadDer);
        }
        extensions.push(Extension { oid, critical, value });
    }
    Ok(extensions)
}

/// A time as seconds since the epoch: UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5).
fn time(reader: &mut Reader<'_>) -> Result<i64, BadDer> {
    let element = reader.any()?;
    let digits = element.content.strip_suffix(b"Z").ok_or(BadDer)?;
    let (year, rest) = match (element.tag, digits.len()) {
        (tag::UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2).ok_or(BadDer)?;
            let year = number(year)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        (tag::GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4).ok_or(BadDer)?;
            let year = number(year)?;
            (if year >= 2050 { year } else { return Err(BadDer) }, rest)
        }
        _ => return Err(BadDer),
    };
    let mut fields = rest.chunks(2).map(number);
    let mut next = || fields.next().ok_or(BadDer)?.and_then(|field| i8::try_from(field).map_err(|_| BadDer));
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let civil = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| BadDer)?;
    let time = jiff::tz::Offset::UTC.to_timestamp(civil).map_err(|_| BadDer)?;
    Ok(time.as_second())
}

fn number(digits: &[u8]) -> Result<i16, BadDer> {
    digits.iter().try_fold(0, |sum: i16, digit| {
        if digit.is_ascii_digit() { Ok(sum * 10 + i16::from(digit - b'0')) } else { Err(BadDer) }
    })
}
