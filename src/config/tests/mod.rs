mod agreement;
mod syntax;
