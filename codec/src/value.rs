//! Trees of application values, for what is not on the hot path: `authextra`, arguments of the router's own procedures,
//! the command line client.

/// Any value that a serializer can carry.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer; the range covers `i64` and `u64`.
    Integer(i128),
    /// A floating point number.
    Float(f64),
    /// Text.
    String(String),
    /// Octets (JSON: text `"\0"` followed by base64).
    Binary(Vec<u8>),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping with text keys.
    Dict(Dict),
}

/// A mapping in the order it was written or received.
pub type Dict = Vec<(String, Value)>;

impl Value {
    /// The entry `key` of a dict.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}
