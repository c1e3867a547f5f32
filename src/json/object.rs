//! Reading JSON objects into Rust structs.
//!
//! A struct is a table of JSON names with a place to read each value into. The loop over an
//! object's keys exists once for all structs, so that each adds only a few dozen bytes of code.

use std::borrow::Cow;
use std::path::PathBuf;

use super::error::{PathStep, Result};
use super::reader::Reader;

/// The JSON name of a struct's field.
pub(crate) type Name = &'static str;

/// A place that a JSON value can be read into.
///
/// Reading updates the present value, as in Go: the second of two equal keys replaces a scalar or a
/// list, and is merged into an object. `null` clears an `Option` and leaves any other type as it
/// is.
pub(crate) trait Value<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()>;
}

/// A struct that is read from a JSON object.
pub(crate) trait Object<'a> {
    /// The keys that the struct has fields for.
    fn names(&self) -> &'static [Name];
    /// The place for the value of `names()[index]`.
    fn place(&mut self, index: usize) -> Option<&mut dyn Value<'a>>;
    /// Receives an unknown key and the text of its value.
    fn other(&mut self, _key: &str, _value: &'a [u8]) {}
}

/// Reads a JSON object into a struct; `null` changes nothing.
pub(crate) fn read<'a>(object: &mut dyn Object<'a>, reader: &mut Reader<'a>) -> Result<()> {
    if !reader.object()? {
        return Ok(());
    }
    let names = object.names();
    let mut expected = 0;
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        let index = position(names, expected, &key);
        match index.and_then(|index| object.place(index).map(|place| (index, place))) {
            Some((index, place)) => {
                place.read(reader).map_err(|error| error.inside(PathStep::Field(names[index])))?;
                expected = index + 1;
            }
            None => {
                let value = reader.raw()?;
                object.other(&key, value);
            }
        }
    }
    Ok(())
}

/// The index of the field for a key: the field with exactly that name, else the first with a
/// name that differs only in case, as in Go. Writers keep the order of the fields, so the search starts at
/// `expected`.
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

/// Folds the case of ASCII letters. The long s and the Kelvin sign are the only other letters that
/// fold to ASCII.
fn fold(letter: char) -> char {
    match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    }
}

/// Declares structs with the JSON name of each field, or implements [`Object`] and [`Value`] for a
/// struct, given the JSON name of each field. Optionally other fields follow that are not read, and
/// the name of the one that keeps the text of unknown keys' values.
macro_rules! readable {
    ($(
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty = $json:literal, )*
        }
        $(=> unread { $( $(#[$other_meta:meta])* $other_visibility:vis $other:ident: $other_type:ty, )* }
        others in $others:ident)?
    )*) => {$(
        $(#[$meta])*
        $visibility struct $name {
            $( $(#[$field_meta])* $field_visibility $field: $type, )*
            $($( $(#[$other_meta])* $other_visibility $other: $other_type, )*)?
        }

        $crate::json::readable! { $name { $($field = $json),* } $(others in $others)? }
    )*};
    ($name:ident $(<$life:lifetime>)? { $($field:ident = $json:literal),* $(,)? } $(others in $others:ident)?) => {
        impl<'a> $crate::json::Object<'a> for $name $(<$life>)? {
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
            fn read(&mut self, reader: &mut $crate::json::Reader<'a>) -> $crate::json::Result<()> {
                $crate::json::read(self, reader)
            }
        }
    };
}
pub(crate) use readable;

/// Declares structs that are read from JSON objects: each field's Rust name, type and JSON name.
/// Every field is an `Option`.
macro_rules! objects {
    ($( $(#[$meta:meta])* $name:ident $(<$life:lifetime>)? {
        $( $(#[$field_meta:meta])* $field:ident: $type:ty = $json:literal, )*
    } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct $name $(<$life>)? {
            $( $(#[$field_meta])* pub(crate) $field: Option<$type>, )*
        }

        $crate::json::readable! { $name $(<$life>)? { $($field = $json),* } }

        impl$(<$life>)? $crate::json::Shaped for $name $(<$life>)? {
            const SHAPE: $crate::json::Shape =
                $crate::json::Shape::Object(&[$( ($json, &<$type as $crate::json::Shaped>::SHAPE), )*]);
        }

        #[cfg(any(test, fuzzing))]
        impl$(<$life>)? $crate::json::tree::Tree for $name $(<$life>)? {
            fn tree(&self) -> serde_json::Value {
                use $crate::json::tree::{Tree, object};
                object([$( ($json, self.$field.as_ref().map(Tree::tree)), )*])
            }
        }
    )*};
}
pub(crate) use objects;

impl<'a, T: Value<'a> + Default> Value<'a> for Option<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        if reader.null()? {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().read(reader)
    }
}

impl<'a, T: Value<'a> + Default> Value<'a> for Vec<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        self.clear();
        items(reader, &mut |reader| {
            let mut item = T::default();
            item.read(reader)?;
            self.push(item);
            Ok(())
        })
    }
}

/// Reads a list: `add` reads each item. It exists once for all types of items.
fn items<'a>(reader: &mut Reader<'a>, add: &mut dyn FnMut(&mut Reader<'a>) -> Result<()>) -> Result<()> {
    if !reader.list()? {
        return Ok(());
    }
    let mut count = 0;
    while reader.item(count == 0)? {
        add(reader).map_err(|error| error.inside(PathStep::Item(count)))?;
        count += 1;
    }
    Ok(())
}

/// A JSON object with arbitrary keys, in the order of the document.
impl<'a, T: Value<'a> + Default> Value<'a> for Vec<(Cow<'a, str>, T)> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let before = self.len();
        entries(reader, &mut |reader, key| {
            let mut value = T::default();
            value.read(reader).map_err(|error| error.inside(PathStep::Key(key.to_string())))?;
            self.push((key, value));
            Ok(())
        })?;
        if self.len() > before {
            // A repeated object is merged into the entries read before, and `keep_last` searches
            // those again.
            reader.repeat(before)?;
            keep_last(self);
        }
        Ok(())
    }
}

/// Reads an object with arbitrary keys: `add` reads each value. It exists once for all types of values.
fn entries<'a>(
    reader: &mut Reader<'a>,
    add: &mut dyn FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<()>,
) -> Result<()> {
    if !reader.object()? {
        return Ok(());
    }
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        add(reader, key)?;
    }
    Ok(())
}

/// Removes each entry that a later one with an equal key replaces.
fn keep_last<T>(entries: &mut Vec<(Cow<'_, str>, T)>) {
    let keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
    let mut kept = last_of_equal(&keys).into_iter();
    entries.retain(|_| kept.next().unwrap_or(true));
}

/// For each key, whether no later key is equal. It sorts, since a document may have a hundred
/// thousand keys, and is not generic over the entries, so that the sort is compiled once.
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
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        if let Some(string) = reader.string()? {
            *self = string;
        }
        Ok(())
    }
}

impl<'a> Value<'a> for String {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        if let Some(string) = reader.string()? {
            *self = string.into_owned();
        }
        Ok(())
    }
}

impl<'a> Value<'a> for PathBuf {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        if let Some(string) = reader.string()? {
            *self = string.into_owned().into();
        }
        Ok(())
    }
}

impl<'a> Value<'a> for bool {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        if let Some(boolean) = reader.boolean()? {
            *self = boolean;
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl<'a> Value<'a> for $type {
            fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
                if let Some(value) = reader.integer(<$type>::MIN as i128, <$type>::MAX as i128)? {
                    // In range: `integer` has checked it.
                    *self = value as $type;
                }
                Ok(())
            }
        }
    )*};
}
integers!(u16 u32 u64 usize i32 i64);
