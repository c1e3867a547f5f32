//! D-Bus values and their encoding (the D-Bus specification, "Type system" and "Marshaling").

/// A value of a basic type or of a container type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Str(String),
    Path(String),
    /// The signature of an element, and the elements.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    /// A string.
    pub(crate) fn str(text: impl Into<String>) -> Value {
        Value::Str(text.into())
    }

    /// An array of strings.
    pub(crate) fn strings(list: &[&str]) -> Value {
        Value::Array("s".into(), list.iter().map(|s| Value::str(*s)).collect())
    }

    /// Its signature.
    pub(super) fn signature(&self) -> String {
        let basic = match self {
            Value::Byte(_) => "y",
            Value::Bool(_) => "b",
            Value::I16(_) => "n",
            Value::U16(_) => "q",
            Value::I32(_) => "i",
            Value::U32(_) => "u",
            Value::I64(_) => "x",
            Value::U64(_) => "t",
            Value::F64(_) => "d",
            Value::Str(_) => "s",
            Value::Path(_) => "o",
            Value::Variant(_) => "v",
            Value::Array(element, _) => return format!("a{element}"),
            Value::Struct(fields) => {
                return format!("({})", fields.iter().map(Value::signature).collect::<String>());
            }
        };
        basic.to_owned()
    }

    /// Whether D-Bus can represent the value: its signature and those of nested variants are within
    /// the limits for length and depth.
    pub(super) fn is_sendable(&self) -> bool {
        let within = match self {
            Value::Array(_, items) | Value::Struct(items) => items.iter().all(Value::is_nested_sendable),
            other => other.is_nested_sendable(),
        };
        within && is_signature(&self.signature())
    }

    fn is_nested_sendable(&self) -> bool {
        match self {
            Value::Array(_, items) | Value::Struct(items) => items.iter().all(Value::is_nested_sendable),
            Value::Variant(value) => value.is_sendable(),
            _ => true,
        }
    }

    /// Encodes the value into a message that starts at an alignment of 8.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Value::Byte(n) => to.push(*n),
            Value::Bool(b) => number(to, &u32::from(*b).to_le_bytes()),
            Value::I16(n) => number(to, &n.to_le_bytes()),
            Value::U16(n) => number(to, &n.to_le_bytes()),
            Value::I32(n) => number(to, &n.to_le_bytes()),
            Value::U32(n) => number(to, &n.to_le_bytes()),
            Value::I64(n) => number(to, &n.to_le_bytes()),
            Value::U64(n) => number(to, &n.to_le_bytes()),
            Value::F64(n) => number(to, &n.to_le_bytes()),
            Value::Str(text) | Value::Path(text) => {
                number(to, &(text.len() as u32).to_le_bytes());
                to.extend(text.as_bytes());
                to.push(0);
            }
            Value::Struct(fields) => {
                align(to, 8);
                fields.iter().for_each(|field| field.write(to));
            }
            Value::Variant(value) => {
                write_signature(to, &value.signature());
                value.write(to);
            }
            Value::Array(element, items) => {
                number(to, &[0; 4]);
                let length_at = to.len() - 4;
                align(to, alignment(element));
                let start = to.len();
                items.iter().for_each(|item| item.write(to));
                let length = (to.len() - start) as u32;
                to[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
        }
    }
}

/// The size limit of a signature, whose length is one byte.
pub(super) const LONGEST_SIGNATURE: usize = 255;

/// Whether a text is the signature of exactly one value (the D-Bus specification, "Type System").
fn is_signature(text: &str) -> bool {
    text.len() <= LONGEST_SIGNATURE && one_type(text.as_bytes(), 0).is_some_and(<[u8]>::is_empty)
}

/// The rest of a signature after its first type. None if it does not begin with a type, or nests
/// too deeply.
fn one_type(text: &[u8], depth: usize) -> Option<&[u8]> {
    const DEEPEST: usize = 32;
    match text.split_first()? {
        _ if depth > DEEPEST => None,
        (b'a', rest) => one_type(rest, depth + 1),
        (b'(', rest) => {
            let mut rest = one_type(rest, depth + 1)?;
            while rest.first() != Some(&b')') {
                rest = one_type(rest, depth + 1)?;
            }
            rest.get(1..)
        }
        (letter, rest) => b"ybnqiuxtdsogvh".contains(letter).then_some(rest),
    }
}

/// Appends a signature: a length byte, the text, a NUL. Signatures from a config have been checked.
pub(super) fn write_signature(to: &mut Vec<u8>, signature: &str) {
    debug_assert!(signature.len() <= LONGEST_SIGNATURE, "a signature that D-Bus cannot tell");
    to.push(signature.len() as u8);
    to.extend(signature.as_bytes());
    to.push(0);
}

/// Pads with zeroes.
pub(super) fn align(to: &mut Vec<u8>, alignment: usize) {
    to.resize(to.len().next_multiple_of(alignment), 0);
}

fn number(to: &mut Vec<u8>, bytes: &[u8]) {
    align(to, bytes.len());
    to.extend(bytes);
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: Value) -> Vec<u8> {
        let mut to = Vec::new();
        value.write(&mut to);
        to
    }

    #[test]
    fn values_are_aligned_to_their_size() {
        let value = Value::Struct(vec![Value::Byte(1), Value::U32(2), Value::U64(3)]);
        assert_eq!(value.signature(), "(yut)");
        assert_eq!(bytes(value), [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_arrays_length_counts_its_elements_without_the_padding_before_them() {
        let value = Value::Array("t".into(), vec![Value::U64(1)]);
        assert_eq!(bytes(value), [8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Value::Array("(ss)".into(), vec![])), [0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_variant_carries_its_signature() {
        assert_eq!(bytes(Value::Variant(Box::new(Value::str("a")))), [1, b's', 0, 0, 1, 0, 0, 0, b'a', 0]);
    }
}
