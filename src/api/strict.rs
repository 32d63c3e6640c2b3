//! How requests come off the wire: strictly. A field that this version does not know is refused and never
//! dropped, because it can be a limit that its sender believes to be kept. It knows the contract, and no rule.
//!
//! Answers, which only clients read, are taken as prost takes them: an older client can talk to a newer broker.

use std::marker::PhantomData;
use std::sync::LazyLock;

use bytes::Buf as _;
use prost::encoding::decode_varint;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf};
use tonic_prost::ProstEncoder;

use super::convert::BadField;
use super::status::status;

/// The contract as it was compiled in. tonic makes codecs by `Default`, so it can't be an argument.
static CONTRACT: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(crate::proto::DESCRIPTORS).ok());

/// The codec of all our services; the generated code names it (`build.rs`).
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Decoder(PhantomData)
    }
}

/// Decodes one kind of message.
#[derive(Debug)]
pub struct Decoder<U>(PhantomData<U>);

impl<U: Message + Name + Default> tonic::codec::Decoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        read(&source.copy_to_bytes(source.remaining())).map(Some)
    }
}

/// The message in `bytes`, strictly when it is a request.
///
/// # Errors
/// INVALID_ARGUMENT with the field that is wrong.
pub fn read<U: Message + Name + Default>(bytes: &[u8]) -> Result<U, Status> {
    if !U::NAME.ends_with("Request") {
        return U::decode(bytes).map_err(|error| Status::internal(error.to_string()));
    }
    let contract = CONTRACT.as_ref().and_then(|pool| pool.get_message_by_name(&U::full_name()));
    let form = contract.ok_or_else(|| Status::internal("the contract can't be read"))?;
    // Envoy's messages have more fields than the part of them that we read.
    if U::PACKAGE == "hotwork.v1" {
        known(bytes, &form, "").map_err(status)?;
    }
    U::decode(bytes).map_err(|_| status(malformed(&form, "")))
}

/// Holds the bytes of a message to its form: each field known and of its type; those that are no list there
/// once, and one of those that exclude each other. Readers of protobuf take the last of them, or a part of a number
/// that is too large: not all would read the same request. The depth is that of the contract, in which no message
/// holds itself.
fn known(mut bytes: &[u8], form: &MessageDescriptor, path: &str) -> Result<(), BadField> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let key = decode_varint(&mut bytes).map_err(|_| malformed(form, path))?;
        let number = u32::try_from(key >> 3).map_err(|_| malformed(form, path))?;
        let field = form.get_field(number).ok_or_else(|| unknown(form, path, number))?;
        if !field.is_list() && !field.is_map() {
            alone(&field, &seen, path)?;
            seen.push(number);
        }
        bytes = behind(bytes, key & 7, &field, path)?;
    }
    Ok(())
}

/// Refuses a field that was there before, or another of its oneof.
fn alone(field: &FieldDescriptor, seen: &[u32], path: &str) -> Result<(), BadField> {
    if seen.contains(&field.number()) {
        return Err(BadField::new(below(path, field.name()), "once in a message"));
    }
    let choice = field.containing_oneof();
    match choice.filter(|choice| choice.fields().any(|other| seen.contains(&other.number()))) {
        Some(choice) => Err(BadField::new(below(path, choice.name()), "one alone, got two")),
        None => Ok(()),
    }
}

/// What is behind the value of `field` of the message at `path`; it has to be one of the field's type.
fn behind<'b>(
    mut bytes: &'b [u8],
    wire_type: u64,
    field: &FieldDescriptor,
    path: &str,
) -> Result<&'b [u8], BadField> {
    let bad = |expected| BadField::new(below(path, field.name()), expected);
    let no_value = || bad("a value of its type in protobuf");
    let is_packed = field.is_packed() && wire_type == LENGTH;
    if wire_type != wire_type_of(&field.kind()) && !is_packed {
        return Err(no_value());
    }
    let length = match wire_type {
        VARINT => {
            let number = decode_varint(&mut bytes).map_err(|_| no_value())?;
            return if fits(&field.kind(), number) { Ok(bytes) } else { Err(bad("a number of its size")) };
        }
        LENGTH => decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok()),
        EIGHT_BYTES => Some(8),
        _ => Some(4),
    };
    let (value, rest) = length.and_then(|length| bytes.split_at_checked(length)).ok_or_else(no_value)?;
    let kind = field.kind();
    if let Kind::Message(inner) = &kind {
        known(value, inner, &below(path, field.name()))?;
    } else if kind == Kind::String {
        str::from_utf8(value).map_err(|_| bad("text in UTF-8"))?;
    }
    Ok(rest)
}

/// The wire types of protobuf that are in use.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

const fn wire_type_of(kind: &Kind) -> u64 {
    match kind {
        Kind::Bool
        | Kind::Enum(_)
        | Kind::Int32
        | Kind::Int64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Uint32
        | Kind::Uint64 => VARINT,
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => EIGHT_BYTES,
        Kind::Bytes | Kind::Message(_) | Kind::String => LENGTH,
        Kind::Fixed32 | Kind::Float | Kind::Sfixed32 => FOUR_BYTES,
    }
}

/// Whether a number is one of the kind; of a larger one readers would take the lower bits.
fn fits(kind: &Kind, number: u64) -> bool {
    let is = |other: Kind| *kind == other;
    if is(Kind::Bool) {
        number <= 1
    } else if is(Kind::Int32) || matches!(kind, Kind::Enum(_)) {
        i32::try_from(number.cast_signed()).is_ok()
    } else {
        !(is(Kind::Sint32) || is(Kind::Uint32)) || u32::try_from(number).is_ok()
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn unknown(form: &MessageDescriptor, path: &str, number: u32) -> BadField {
    let expected = format!("a field of `{}` that this version knows", form.full_name());
    BadField::new(below(path, &number.to_string()), expected)
}

fn malformed(form: &MessageDescriptor, path: &str) -> BadField {
    let field = if path.is_empty() { "message" } else { path };
    BadField::new(field.to_owned(), format!("a `{}` in protobuf", form.full_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{ActionRequest, IssueTokenRequest, Parameter, parameter::Value};

    fn check(bytes: &[u8]) -> Result<(), String> {
        let pool = CONTRACT.as_ref().unwrap();
        let form = pool.get_message_by_name("hotwork.v1.IssueTokenRequest").unwrap();
        known(bytes, &form, "").map_err(|bad| bad.to_string())
    }

    fn request() -> ActionRequest {
        let parameter = |name: &str| Parameter { name: name.into(), value: Some(Value::Integer(-1)) };
        ActionRequest {
            action: "demo.read".into(),
            resource: "demo/x".into(),
            parameters: vec![parameter("a"), parameter("b")],
            ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            args_sha256: vec![0xff; 32],
            ..ActionRequest::default()
        }
    }

    /// A message whose field 1 is these bytes.
    fn wrapped(inner: &[u8]) -> Vec<u8> {
        let length = u8::try_from(inner.len()).unwrap();
        [&[0x0a, length][..], inner].concat()
    }

    #[test]
    fn what_our_clients_send_is_known() {
        let message = IssueTokenRequest { request: Some(request()), binding: None };
        assert_eq!(check(&message.encode_to_vec()), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn a_field_of_another_version_is_refused_wherever_it_is() {
        // Field 999 as a number: key 0xb8 0x3e.
        let unknown = [0xb8, 0x3e, 0x01];
        let top = check(&unknown).unwrap_err();
        assert_eq!(top, "999: expected a field of `hotwork.v1.IssueTokenRequest` that this version knows");
        let inner = check(&wrapped(&unknown)).unwrap_err();
        assert_eq!(
            inner,
            "request.999: expected a field of `hotwork.v1.ActionRequest` that this version knows"
        );
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        let twice = [wrapped(&[]), wrapped(&[])].concat();
        assert_eq!(check(&twice).unwrap_err(), "request: expected once in a message");
    }

    #[test]
    fn of_fields_that_exclude_each_other_one_is_taken() {
        let both = [0x10, 0x01, 0x1a, 0x01, b'x'];
        let parameter = [&[0x1a, 5][..], &both].concat();
        let error = check(&wrapped(&parameter)).unwrap_err();
        assert_eq!(error, "request.parameters.value: expected one alone, got two");
    }

    #[test]
    fn a_value_of_another_type_or_size_is_named() {
        let duration =
            |seconds: &[u8]| wrapped(&[&[0x22, u8::try_from(seconds.len()).unwrap()][..], seconds].concat());
        for (bytes, error) in [
            (vec![0x08, 0x01], "request: expected a value of its type in protobuf"),
            (wrapped(&[0x08, 0x01]), "request.action: expected a value of its type in protobuf"),
            (wrapped(&[0x0a, 0x01, 0xff]), "request.action: expected text in UTF-8"),
            (wrapped(&[0x0a, 0x05, b'a']), "request.action: expected a value of its type in protobuf"),
            (
                duration(&[0x10, 0xff, 0xff, 0xff, 0xff, 0x0f]),
                "request.ttl.nanos: expected a number of its size",
            ),
        ] {
            assert_eq!(check(&bytes).unwrap_err(), error, "{bytes:?}");
        }
        assert_eq!(check(&duration(&[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f])), Ok(()));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        for bytes in
            [&[0x0a][..], &[0x0a, 0x05, 0x00], &[0x80], &[0x0b], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            assert!(check(bytes).unwrap_err().contains("in protobuf"), "{bytes:?}");
        }
    }
}
