//! Turns structs that were read back into JSON, so that tests can compare whole documents.

use std::borrow::Cow;

use serde_json::{Map, Value};

pub(crate) trait Tree {
    fn tree(&self) -> Value;
}

/// A JSON object of the fields that are present.
pub(crate) fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

impl<T: Tree> Tree for Vec<T> {
    fn tree(&self) -> Value {
        self.iter().map(Tree::tree).collect()
    }
}

impl<T: Tree> Tree for Vec<(Cow<'_, str>, T)> {
    fn tree(&self) -> Value {
        self.iter().map(|(key, value)| (key.to_string(), value.tree())).collect()
    }
}

macro_rules! scalars {
    ($($type:ty)*) => {$(
        impl Tree for $type {
            fn tree(&self) -> Value {
                self.clone().into()
            }
        }
    )*};
}
scalars!(Cow<'_, str> bool u16 u32 u64 i32 i64);
