//! How a record of Rust fields is read from a JSON object.
//!
//! A record is a table of names and, for each, a place to read into. The loop over an object's keys exists once for all
//! records, which keeps them at a few dozen bytes of code each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fault::{Read, Step};
use super::reader::Reader;

/// A key that a record knows.
pub(crate) type Name = &'static str;

/// A place that a JSON value can be read into.
///
/// Reading goes into what is already there, as in Go: of two equal keys the second replaces a scalar or a list, and adds
/// to an object. `null` makes an `Option` absent and leaves anything else alone.
pub(crate) trait Value<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()>;
}

/// A JSON object with known keys.
pub(crate) trait Record<'a> {
    fn names(&self) -> &'static [Name];
    /// The place for the value of `names()[index]`.
    fn place(&mut self, index: usize) -> Option<&mut dyn Value<'a>>;
    /// Takes a key that it does not know, with the text of its value.
    fn other(&mut self, _key: &str, _value: &'a [u8]) {}
}

pub(crate) fn read<'a>(record: &mut dyn Record<'a>, reader: &mut Reader<'a>) -> Read<()> {
    if !reader.object()? {
        return Ok(());
    }
    let names = record.names();
    let mut expected = 0;
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        let index = position(names, expected, &key);
        match index.and_then(|index| record.place(index).map(|place| (index, place))) {
            Some((index, place)) => {
                place.read(reader).map_err(|fault| fault.inside(Step::Field(names[index])))?;
                expected = index + 1;
            }
            None => {
                let value = reader.raw()?;
                record.other(&key, value);
            }
        }
    }
    Ok(())
}

/// The field that a key means: the exact name first, else the same letters in another case, as Go matches them. Writers
/// keep the order of the fields, so the search starts at the one that is `expected`.
fn position(names: &[Name], expected: usize, key: &str) -> Option<usize> {
    let order = (expected..names.len()).chain(0..expected.min(names.len()));
    for index in order {
        if names[index] == key {
            return Some(index);
        }
    }
    names.iter().position(|name| same_letters(name, key))
}

fn same_letters(name: &str, key: &str) -> bool {
    name.bytes().map(char::from).map(fold).eq(key.chars().map(fold))
}

/// The long s and the Kelvin sign are the only letters beyond ASCII that fold to one of ASCII.
fn fold(letter: char) -> char {
    match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    }
}

/// Makes a type a record: for each field its JSON name, and where the text of other keys' values is kept, if it is.
macro_rules! readable {
    ($name:ident $(<$life:lifetime>)? { $($field:ident = $json:literal),* $(,)? } $(others in $others:ident)?) => {
        impl<'a> $crate::json::Record<'a> for $name $(<$life>)? {
            fn names(&self) -> &'static [$crate::json::Name] {
                &[$($json),*]
            }

            fn place(&mut self, index: usize) -> Option<&mut dyn $crate::json::Value<'a>> {
                #[allow(non_camel_case_types)]
                enum Index { $($field),* }
                match index {
                    $( index if index == Index::$field as usize => Some(&mut self.$field), )*
                    _ => None,
                }
            }

            $(fn other(&mut self, key: &str, value: &'a [u8]) {
                self.$others.insert(key.to_owned(), value.to_owned());
            })?
        }

        impl<'a> $crate::json::Value<'a> for $name $(<$life>)? {
            fn read(&mut self, reader: &mut $crate::json::Reader<'a>) -> $crate::json::Read<()> {
                $crate::json::read(self, reader)
            }
        }
    };
}
pub(crate) use readable;

/// Declares records: for each field its Rust name, its type and its JSON name. Every field is an `Option`.
macro_rules! records {
    ($( $(#[$meta:meta])* $name:ident $(<$life:lifetime>)? {
        $( $(#[$field_meta:meta])* $field:ident: $type:ty = $json:literal, )*
    } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct $name $(<$life>)? {
            $( $(#[$field_meta])* pub(crate) $field: Option<$type>, )*
        }

        $crate::json::readable! { $name $(<$life>)? { $($field = $json),* } }

        #[cfg(test)]
        impl$(<$life>)? $crate::json::tree::Tree for $name $(<$life>)? {
            fn tree(&self) -> serde_json::Value {
                use $crate::json::tree::{Tree, object};
                object([$( ($json, self.$field.as_ref().map(Tree::tree)), )*])
            }
        }
    )*};
}
pub(crate) use records;

impl<'a, T: Value<'a> + Default> Value<'a> for Option<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        if reader.null()? {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().read(reader)
    }
}

impl<'a, T: Value<'a> + Default> Value<'a> for Vec<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        self.clear();
        if !reader.list()? {
            return Ok(());
        }
        while reader.item(self.is_empty())? {
            let mut item = T::default();
            item.read(reader).map_err(|fault| fault.inside(Step::Item(self.len())))?;
            self.push(item);
        }
        Ok(())
    }
}

/// A JSON object with any keys, in the order of the document.
impl<'a, T: Value<'a> + Default> Value<'a> for Vec<(Cow<'a, str>, T)> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        if !reader.object()? {
            return Ok(());
        }
        let before = self.len();
        while let Some(key) = reader.key(self.len() == before)? {
            let mut value = T::default();
            if let Err(fault) = value.read(reader) {
                return Err(fault.inside(Step::Key(key.into_owned())));
            }
            self.push((key, value));
        }
        if self.len() > before {
            // An object that is said again is added to the one before, and all of that is looked at again.
            reader.repeat(before)?;
            keep_last(self);
        }
        Ok(())
    }
}

/// Of entries with equal keys only the last stays.
fn keep_last<T>(entries: &mut Vec<(Cow<'_, str>, T)>) {
    let keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
    let mut kept = last_of_equal(&keys).into_iter();
    entries.retain(|_| kept.next().unwrap_or(true));
}

/// Which keys have no equal one behind them. By sorting, since a document may hold a hundred thousand of them; and apart from
/// the entries' type, since a sort is much code.
fn last_of_equal(keys: &[&str]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_unstable_by(|&one, &other| keys[one].cmp(keys[other]).then(one.cmp(&other)));
    let mut kept = vec![true; keys.len()];
    for pair in order.windows(2) {
        kept[pair[0]] = keys[pair[0]] != keys[pair[1]];
    }
    kept
}

impl<'a> Value<'a> for Cow<'a, str> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        if let Some(string) = reader.string()? {
            *self = string;
        }
        Ok(())
    }
}

impl<'a> Value<'a> for String {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        if let Some(string) = reader.string()? {
            *self = string.into_owned();
        }
        Ok(())
    }
}

impl<'a> Value<'a> for PathBuf {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        if let Some(string) = reader.string()? {
            *self = string.into_owned().into();
        }
        Ok(())
    }
}

/// As the list of pairs, without an order.
impl<'a, T: Value<'a> + Default> Value<'a> for BTreeMap<String, T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        let mut pairs: Vec<(Cow<'a, str>, T)> = Vec::new();
        pairs.read(reader)?;
        self.extend(pairs.into_iter().map(|(key, value)| (key.into_owned(), value)));
        Ok(())
    }
}

impl<'a> Value<'a> for bool {
    fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
        if let Some(boolean) = reader.boolean()? {
            *self = boolean;
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl<'a> Value<'a> for $type {
            fn read(&mut self, reader: &mut Reader<'a>) -> Read<()> {
                if let Some(value) = reader.integer(<$type>::MIN as i128, <$type>::MAX as i128)? {
                    // The range was checked above.
                    *self = value as $type;
                }
                Ok(())
            }
        }
    )*};
}
integers!(u16 u32 u64 usize i32 i64);
