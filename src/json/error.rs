//! Errors of the JSON reader: a problem and its position, which is a JSON path for a value of the
//! wrong type, a line and column for bad syntax.

use std::borrow::Cow;

/// One step of the JSON path from a document's root to the wrong value.
pub(crate) enum PathStep {
    Field(&'static str),
    Key(String),
    Item(usize),
}

/// An error found while reading. It is built at the value and gathers its path as the readers of
/// the enclosing values return, so that a good document costs nothing.
pub(crate) struct Error {
    /// The innermost step comes first.
    path: Vec<PathStep>,
    problem: Problem,
}

enum Problem {
    Type { offset: usize, text: String },
    Syntax { offset: usize, text: String },
}

pub(crate) type Result<T> = std::result::Result<T, Box<Error>>;

impl Error {
    /// A value of the wrong type or out of its type's range, `offset` bytes after the start of the document.
    pub(crate) fn mismatch(offset: usize, text: String) -> Box<Self> {
        Box::new(Self { path: Vec::new(), problem: Problem::Type { offset, text } })
    }

    /// Bad syntax, `offset` bytes after the start of the document.
    pub(crate) fn syntax(offset: usize, text: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { path: Vec::new(), problem: Problem::Syntax { offset, text: text.into().into_owned() } })
    }

    /// Adds the step that led from the enclosing value to the one read so far.
    pub(crate) fn inside(mut self: Box<Self>, step: PathStep) -> Box<Self> {
        self.path.push(step);
        self
    }

    /// The JSON path of the wrong value, such as `linux.namespaces[2].type`, or the line and column
    /// of bad syntax.
    pub(crate) fn place(&self, document: &[u8]) -> String {
        match self.problem {
            Problem::Type { .. } if self.path.is_empty() => "the document".into(),
            Problem::Type { .. } => self.path(),
            Problem::Syntax { offset, .. } => line_and_column(document, offset),
        }
    }

    /// The problem without its position: `expected an integer, found "x"`.
    pub(crate) fn problem(&self) -> &str {
        match &self.problem {
            Problem::Type { text, .. } | Problem::Syntax { text, .. } => text,
        }
    }

    /// The problem, for a value with its line and column, which [`Error::place`] does not tell.
    pub(crate) fn located_problem(&self, document: &[u8]) -> String {
        match &self.problem {
            Problem::Type { offset, text } => format!("{text} at {}", line_and_column(document, *offset)),
            Problem::Syntax { text, .. } => text.clone(),
        }
    }

    /// How a value of the expected type is written; empty for other errors.
    pub(crate) fn advice(&self) -> &'static str {
        match self.problem().strip_prefix("expected ").and_then(|text| text.split_once(", found")) {
            Some(("an integer", _)) => "a number has no quotes, unit, fraction or exponent, such as 1048576",
            Some(("true or false", _)) => "write it without quotes",
            Some(("a string", _)) => "write it in double quotes",
            Some(("a list", _)) => "write it in square brackets, [ and ]",
            Some(("an object", _)) => "write it in curly brackets, { and }, with the names of its fields",
            _ => "",
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                PathStep::Field(name) => push_name(&mut path, name),
                PathStep::Key(name) => push_name(&mut path, name),
                PathStep::Item(index) => {
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

/// Lines and columns count from 1; columns count bytes, as C compilers do.
fn line_and_column(document: &[u8], offset: usize) -> String {
    let before = &document[..offset.min(document.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    format!("line {line}, column {column}")
}
