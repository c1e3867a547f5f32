//! What is wrong with a document, and where: a JSON path for a value of the wrong type, a line and column for bad syntax.

use std::borrow::Cow;

/// One step from a document's root to the value at fault.
pub(crate) enum Step {
    Field(&'static str),
    Key(String),
    Item(usize),
}

/// A fault found while reading. It is built at the value and gathers its path on the way out, so that reading a good
/// document pays nothing for it.
pub(crate) struct Fault {
    /// Innermost step first.
    path: Vec<Step>,
    kind: Kind,
}

enum Kind {
    Type(String),
    Syntax { offset: usize, what: String },
}

pub(crate) type Read<T> = Result<T, Box<Fault>>;

impl Fault {
    /// A value of the wrong type or out of its type's range.
    pub(crate) fn mismatch(what: String) -> Box<Self> {
        Box::new(Self { path: Vec::new(), kind: Kind::Type(what) })
    }

    /// `offset` counts bytes from the start of the document.
    pub(crate) fn syntax(offset: usize, what: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { path: Vec::new(), kind: Kind::Syntax { offset, what: what.into().into_owned() } })
    }

    pub(crate) fn inside(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.path.push(step);
        self
    }

    /// The JSON path of the value at fault, as `linux.namespaces[2].type`; for bad syntax the line and column.
    pub(crate) fn place(&self, document: &[u8]) -> String {
        match self.kind {
            Kind::Type(_) if self.path.is_empty() => "the document".into(),
            Kind::Type(_) => self.path(),
            Kind::Syntax { offset, .. } => line_and_column(document, offset),
        }
    }

    pub(crate) fn what(&self) -> &str {
        match &self.kind {
            Kind::Type(what) | Kind::Syntax { what, .. } => what,
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) => push_name(&mut path, name),
                Step::Key(name) => push_name(&mut path, name),
                Step::Item(index) => {
                    path.push('[');
                    path.push_str(&index.to_string());
                    path.push(']');
                }
            }
        }
        path
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// Lines and columns count from 1; a column is a byte, as editors' "go to byte" and compilers of C count it.
fn line_and_column(document: &[u8], offset: usize) -> String {
    let before = &document[..offset.min(document.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    format!("line {line}, column {column}")
}
