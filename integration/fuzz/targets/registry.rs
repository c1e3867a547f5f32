//! The words of a registry: challenges and locations.

use super::challenge::Challenge;
use super::url::Url;

pub(crate) fn registry(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let challenge = Challenge::of(text.lines());
    if let Some(Challenge::Bearer { realm, .. }) = &challenge {
        assert!(text.len() >= realm.len(), "{realm:?}");
        let _ = Url::parse(realm, false);
    }
    let Ok(base) = Url::parse("https://registry.example/v2/", false) else { panic!("a plain address") };
    for line in text.lines() {
        for insecure in [false, true] {
            let Ok(url) = base.join(line, insecure) else { continue };
            // Plain HTTP is for this machine alone.
            assert!(!url.is_plain() || insecure && url.is_loopback(), "{line:?} leads to {url}");
            let _ = (url.host().len(), url.port(), url.same_origin(&base), url.with_query(&[("a b", line)]));
        }
    }
}
