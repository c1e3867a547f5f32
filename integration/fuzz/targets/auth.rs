//! Files of credentials, and the answers of credential helpers.

use super::{credential, of_document};
use serde_json::Value;

pub(crate) fn auth(input: &[u8]) {
    let _ = credential::parse(input);
    let Ok(Value::Object(mut document)) = serde_json::from_slice(input) else { return };
    // Helpers are programs, which no input of this is to start.
    document.remove("credHelpers");
    document.remove("credsStore");
    for (host, repository) in [("registry.example", "a/b/c"), ("docker.io", "library/busybox"), ("[::1]:5000", "x")] {
        let found = of_document(&document, host, repository);
        if let Err(error) = found {
            let error = format!("{error:#}");
            // Whoever made the file finds its place, and no secret in the message.
            assert!(error.len() < 500 + 2 * input.len(), "{error}");
        }
    }
}
