//! Bad requests made from the contract itself: for each field of each RPC what is left out, too long, no text, of
//! another type, there twice or unknown. It knows protobuf's encoding and no rule of ours.

use bytes::{Buf as _, BufMut as _};
use hotwork::proto::DESCRIPTORS;
use prost::Message as _;
use prost::encoding::encode_varint;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::table::Rpc;

/// Every RPC of ours.
pub fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|service| service.package_name() == "hotwork.v1");
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// `Service/Method`.
pub fn name(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

/// A field of a request, by the fields that lead to it.
#[derive(Clone)]
pub struct Field(Vec<FieldDescriptor>);

impl Field {
    /// All of a message and of the messages in it; times and durations are one.
    pub fn all(form: &MessageDescriptor) -> Vec<Self> {
        let mut found = Vec::new();
        for field in form.fields() {
            found.push(Self(vec![field.clone()]));
            if let Kind::Message(inner) = field.kind()
                && !is_well_known(&inner)
            {
                let inside = Self::all(&inner).into_iter();
                found.extend(inside.map(|inside| Self([vec![field.clone()], inside.0].concat())));
            }
        }
        found
    }

    /// Its path, as messages name it, without places in lists.
    pub fn path(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(FieldDescriptor::name).collect();
        names.join(".")
    }

    /// Where it is in a request's JSON; of a list, in the first.
    pub fn pointer(&self) -> String {
        let (last, parents) = self.0.split_last().unwrap();
        let step = |field: &FieldDescriptor| {
            let first = if field.is_list() { "/0" } else { "" };
            format!("/{}{first}", field.name())
        };
        parents.iter().map(step).collect::<String>() + "/" + last.name()
    }

    fn last(&self) -> &FieldDescriptor {
        self.0.last().unwrap()
    }

    fn parents(&self) -> &[FieldDescriptor] {
        &self.0[..self.0.len() - 1]
    }

    /// The path of the choice of which it is one.
    fn choice(&self) -> Option<String> {
        let choice = self.last().containing_oneof().filter(|choice| !choice.is_synthetic())?;
        let parents = Self(self.parents().to_vec()).path();
        Some(if parents.is_empty() {
            choice.name().to_owned()
        } else {
            format!("{parents}.{}", choice.name())
        })
    }

    /// Whether a refusal that names `named` is about this field, or the choice that it is one of.
    pub fn is_named(&self, named: &str) -> bool {
        let path = self.path();
        named == path || named.starts_with(&format!("{path}.")) || Some(named) == self.choice().as_deref()
    }

    /// Whether its absence is a value like others.
    pub fn may_be_left_out(&self) -> bool {
        self.choice().is_none() && matches!(self.last().kind(), Kind::Bool)
    }

    /// As [`Self::is_named`], or about the message that it was left out of.
    pub fn is_missed(&self, named: &str) -> bool {
        self.is_named(named) || self.path().starts_with(&format!("{named}."))
    }

    /// The good request with this field left out.
    pub fn left_out(&self, good: &DynamicMessage) -> Vec<u8> {
        self.instead(good, &[])
    }

    /// The good request with `bytes` in the place of this field.
    fn instead(&self, good: &DynamicMessage, bytes: &[u8]) -> Vec<u8> {
        rebuilt(good, self.parents(), |parent| {
            parent.clear_field(self.last());
            bytes.to_vec()
        })
    }

    /// What no request may have in this field's place, whatever its meaning: another type, text that is none, numbers
    /// beyond its size, itself twice, itself and what it excludes.
    pub fn malformed(&self, good: &DynamicMessage) -> Vec<Vec<u8>> {
        let field = self.last();
        let mut bad = vec![tagged(field, if wire_type(field) == 2 { 0 } else { 2 }, &[0])];
        match field.kind() {
            Kind::String => bad.push(sized(field, &[0xff])),
            Kind::Bool => bad.push(number(field, 2)),
            Kind::Enum(_) | Kind::Int32 | Kind::Uint32 => bad.push(number(field, (1 << 32) | 1)),
            _ => {}
        }
        let empty = tagged(field, wire_type(field), &[0]);
        if !field.is_list() {
            bad.push([empty.as_slice(), &empty].concat());
        }
        let others =
            field.containing_oneof().into_iter().flat_map(|choice| choice.fields().collect::<Vec<_>>());
        let others = others.filter(|other| other != field);
        bad.extend(others.map(|other| [empty.as_slice(), &tagged(&other, wire_type(&other), &[0])].concat()));
        bad.iter().map(|bytes| self.instead(good, bytes)).collect()
    }

    /// What has this field's type and still can't be meant, when there is any rule for its value: for `printable`
    /// text that it is printable and bounded.
    pub fn senseless(&self, good: &DynamicMessage, printable: bool) -> Vec<Vec<u8>> {
        let field = self.last();
        let pair = |seconds: i64, nanos: i32| {
            let nanos = i64::from(nanos).cast_unsigned();
            let parts = [(1, seconds.cast_unsigned()), (2, nanos)];
            sized(field, &parts.map(|(tag, number)| varints(&[tag << 3, number])).concat())
        };
        let bad: Vec<Vec<u8>> = match field.kind() {
            Kind::String => {
                let long = "x".repeat(100_000);
                let texts = ["\0", "a\nb", "\u{1b}[2J", &long, " ", "é"];
                let texts = texts.into_iter().take(if printable { 4 } else { 6 });
                texts.map(|text| sized(field, text.as_bytes())).collect()
            }
            Kind::Bytes => vec![sized(field, &[0x30]), sized(field, &[0x30; 100_000])],
            Kind::Enum(_) => vec![number(field, 99)],
            Kind::Int32 => {
                [-1, i32::MIN, i32::MAX].map(|n| number(field, i64::from(n).cast_unsigned())).into()
            }
            Kind::Int64 => [i64::MIN, i64::MAX].map(|n| number(field, n.cast_unsigned())).into(),
            Kind::Uint32 => vec![number(field, u64::from(u32::MAX))],
            Kind::Uint64 => vec![number(field, u64::MAX)],
            Kind::Message(inner) if is_well_known(&inner) => {
                vec![pair(i64::MIN, 0), pair(i64::MAX, 0), pair(1, -1), pair(1, i32::MAX), pair(-1, 0)]
            }
            _ => Vec::new(),
        };
        bad.iter().map(|bytes| self.instead(good, bytes)).collect()
    }

    /// The good request with a field in the message at this path that no version has.
    pub fn unknown_inside(&self, good: &DynamicMessage) -> Option<Vec<u8>> {
        let Kind::Message(_) = self.last().kind() else { return None };
        Some(rebuilt(good, &self.0, |_| varints(&[999 << 3, 1])))
    }
}

fn is_well_known(form: &MessageDescriptor) -> bool {
    form.package_name() == "google.protobuf"
}

/// The encoding of `message` with the message at `path` edited, and what `edit` gives behind it.
fn rebuilt(
    message: &DynamicMessage,
    path: &[FieldDescriptor],
    edit: impl FnOnce(&mut DynamicMessage) -> Vec<u8>,
) -> Vec<u8> {
    let mut changed = message.clone();
    let Some((first, rest)) = path.split_first() else {
        let behind = edit(&mut changed);
        return [changed.encode_to_vec(), behind].concat();
    };
    let value = message.get_field(first);
    let inner = value.as_message().or_else(|| value.as_list()?.first()?.as_message());
    let inner = rebuilt(inner.expect("a message that the good request has"), rest, edit);
    changed.clear_field(first);
    [changed.encode_to_vec(), sized(first, &inner)].concat()
}

fn wire_type(field: &FieldDescriptor) -> u64 {
    match field.kind() {
        Kind::Bytes | Kind::Message(_) | Kind::String => 2,
        _ => 0,
    }
}

fn varints(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    numbers.iter().for_each(|number| encode_varint(*number, &mut bytes));
    bytes
}

fn tagged(field: &FieldDescriptor, wire_type: u64, value: &[u8]) -> Vec<u8> {
    [varints(&[u64::from(field.number()) << 3 | wire_type]).as_slice(), value].concat()
}

fn number(field: &FieldDescriptor, number: u64) -> Vec<u8> {
    tagged(field, 0, &varints(&[number]))
}

fn sized(field: &FieldDescriptor, value: &[u8]) -> Vec<u8> {
    tagged(field, 2, &[varints(&[value.len() as u64]).as_slice(), value].concat())
}

/// A request from its JSON.
pub fn message(method: &MethodDescriptor, json: &Value) -> DynamicMessage {
    DynamicMessage::deserialize(method.input(), json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The first good request that has the field.
pub fn base<'r>(rpc: &'r Rpc, field: &Field) -> Option<&'r Value> {
    rpc.good.iter().map(|(json, _)| json).find(|json| json.pointer(&field.pointer()).is_some())
}

/// Calls with these bytes as the request; gives the first answer's end.
pub async fn call(channel: &Channel, method: &MethodDescriptor, request: Vec<u8>) -> Result<(), Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let answer = async {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        // On the wire one answer is a stream of one.
        let answers = client.server_streaming(Request::new(request), path.parse().unwrap(), Raw).await?;
        answers.into_inner().message().await.map(|_| ())
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), answer).await.expect("an answer in time")
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining()).to_vec()))
    }
}
