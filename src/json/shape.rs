//! Which fields a document may have, as data: for programs that say which of them are unknown.

use std::borrow::Cow;

/// The form of a value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Shape {
    /// A text, a number or a truth value.
    Scalar,
    /// A list of values of one form.
    List(&'static Shape),
    /// An object with arbitrary keys and values of one form.
    Map(&'static Shape),
    /// An object with these fields.
    Object(&'static [(&'static str, &'static Shape)]),
}

impl Shape {
    /// The fields of an object; none for anything else.
    pub fn fields(&self) -> &'static [(&'static str, &'static Shape)] {
        match self {
            Shape::Object(fields) => fields,
            _ => &[],
        }
    }
}

/// A type that is read from a value of one form.
pub(crate) trait Shaped {
    const SHAPE: Shape = Shape::Scalar;
}

impl<T: Shaped> Shaped for Option<T> {
    const SHAPE: Shape = T::SHAPE;
}

impl<T: Shaped> Shaped for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);
}

impl<T: Shaped> Shaped for Vec<(Cow<'_, str>, T)> {
    const SHAPE: Shape = Shape::Map(&T::SHAPE);
}

impl Shaped for Cow<'_, str> {}
impl Shaped for String {}
impl Shaped for bool {}
impl Shaped for u16 {}
impl Shaped for u32 {}
impl Shaped for u64 {}
impl Shaped for i32 {}
impl Shaped for i64 {}
