//! The table: for each RPC good requests, and what is known of its fields. A new RPC or field fails the tests until
//! it stands here.

mod callers;
mod operators;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tonic::Code;

/// One RPC. Fields are named by their path, such as `request.parameters.name`.
#[derive(Clone)]
pub struct Rpc {
    /// `Service/Method`.
    pub name: &'static str,
    /// Good requests and what they are answered; each field is in one of them.
    pub good: Vec<(Value, Code)>,
    /// What may be left out.
    pub optional: &'static [&'static str],
    /// Of which any value of the type has a meaning, as whole numbers and cursors.
    pub any: &'static [&'static str],
    /// Of which any printable text has.
    pub text: &'static [&'static str],
    /// What is in no good request.
    pub never: &'static [&'static str],
    /// Further values that are refused, in the first good request that has the field.
    pub bad: Vec<(&'static str, Value)>,
    /// Whole requests that are refused for what stands together, and the field that is named.
    pub together: Vec<(&'static str, Value)>,
}

impl Rpc {
    fn new(name: &'static str, good: Value) -> Self {
        Self::answered(name, good, Code::Ok)
    }

    fn answered(name: &'static str, good: Value, code: Code) -> Self {
        let good = vec![(good, code)];
        Self {
            name,
            good,
            optional: &[],
            any: &[],
            text: &[],
            never: &[],
            bad: Vec::new(),
            together: Vec::new(),
        }
    }

    fn also(mut self, good: Value, code: Code) -> Self {
        self.good.push((good, code));
        self
    }

    const fn optional(mut self, fields: &'static [&'static str]) -> Self {
        self.optional = fields;
        self
    }

    const fn any(mut self, fields: &'static [&'static str]) -> Self {
        self.any = fields;
        self
    }

    const fn text(mut self, fields: &'static [&'static str]) -> Self {
        self.text = fields;
        self
    }

    const fn never(mut self, fields: &'static [&'static str]) -> Self {
        self.never = fields;
        self
    }

    fn bad(mut self, field: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        self.bad.extend(values.into_iter().map(|value| (field, value)));
        self
    }

    fn together(mut self, field: &'static str, request: Value) -> Self {
        self.together.push((field, request));
        self
    }
}

const UNKNOWN_ID: &str = "0193595e-7c00-7000-8000-000000000000";
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// After the entry 5 of a moment in 2026.
const CREDENTIALS_PAGE: &str = "AAABogWz0AAAAAAAAAAABd81WB0";
const TEXT_PAGE: &str = "c3BpZmZlOi8vYQ";

/// All of them.
pub fn table() -> Vec<Rpc> {
    [callers::rows(), operators::rows()].concat()
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|value| json!(value)).collect()
}

fn csr() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

fn der(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

fn bad_csrs() -> [Value; 4] {
    let mut forged = csr();
    *forged.last_mut().unwrap() ^= 1;
    [der(&[]), der(&[0x30; 100]), der(&[0; 8 * 1024 + 1]), der(&forged)]
}

fn paged(rpc: Rpc) -> Rpc {
    rpc.bad("page_size", [json!(1001)]).bad("page_token", texts(&["nonsense!", "AA=="]))
}
