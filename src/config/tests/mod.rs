mod agreement;
mod syntax;
pub(crate) mod tree;
