//! Registries that behave, and those that are only unlucky.

use super::server::{Server, respond};
use super::*;

#[test]
fn an_image_is_read_and_its_layer_from_any_offset() {
    let server = Server::new(|_, asked, stream| image().answer(asked, stream));
    let found = manifest(&server).unwrap();
    assert_eq!(found.bytes, image().manifest);
    for offset in [0, 1, SIZE as u64 - 1, SIZE as u64] {
        assert!(layer(&server, &options(None), offset).unwrap() == image().layer, "from {offset}");
    }
    let by_digest = format!("app@{}", image().digests[0]);
    assert_eq!(open(&server, &by_digest, &options(None)).manifest(&platform()).unwrap().bytes, image().manifest);
}

#[test]
fn a_missing_image_is_named_with_the_registrys_words() {
    let server = Server::new(|_, asked, stream| image().answer(asked, stream));
    let text = problem(open(&server, "app:v2", &options(None)).manifest(&platform()));
    assert!(text.contains("app:v2") && text.contains("MANIFEST_UNKNOWN: manifest unknown"), "{text}");
}

#[test]
fn a_cut_blob_goes_on_where_it_stopped_with_and_without_ranges() {
    for ranges in [true, false] {
        let server = Server::new(move |number, asked, stream| {
            let image = image();
            if !is_layer(asked) {
                return image.answer(asked, stream);
            }
            let from = if ranges { asked.offset() } else { 0 };
            let to = if number == 1 { SIZE / 3 } else { image.layer.len() };
            let (length, end) = (image.layer.len() - from, image.layer.len() - 1);
            let range = format!("Content-Range: bytes {from}-{end}/{}\r\n", end + 1);
            let (status, range) = if from > 0 { ("206 Partial Content", range) } else { ("200 OK", String::new()) };
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{range}\r\n");
            let _ = std::io::Write::write_all(stream, head.as_bytes());
            let _ = std::io::Write::write_all(stream, &image.layer[from..to]);
        });
        assert!(layer(&server, &options(None), 0).unwrap() == image().layer, "with ranges: {ranges}");
        let last = server.asked().pop().unwrap();
        assert!(last.offset() > 0, "the second request has a range");
    }
}

#[test]
fn an_unavailable_server_is_asked_again_and_not_for_ever() {
    let server = Server::new(|number, asked, stream| match number {
        1 | 2 => respond(stream, "503 Service Unavailable", "", b""),
        _ => image().answer(asked, stream),
    });
    manifest(&server).unwrap();
    let server = Server::new(|_, _, stream| respond(stream, "502 Bad Gateway", "", b"<html>"));
    let text = problem(manifest(&server));
    assert!(text.contains("HTTP status 502"), "{text}");
    assert_eq!(server.asked().iter().filter(|asked| asked.path.contains("manifests")).count(), 4);
}

/// Answers with a token, which it then wants.
fn with_token(asked: &Asked, stream: &mut TcpStream, host: &str, token: &str) {
    if asked.path.starts_with("/token") {
        return respond(stream, "200 OK", "", format!(r#"{{"token": "{token}"}}"#).as_bytes());
    }
    if asked.header("authorization") == Some(format!("Bearer {token}")) {
        return image().answer(asked, stream);
    }
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s t\"\r\n");
    respond(stream, "401 Unauthorized", &challenge, b"");
}

#[test]
fn a_token_is_asked_for_once_with_scope_and_password() {
    let server = Server::new(|_, asked, stream| with_token(asked, stream, &asked.header("host").unwrap(), "t0k3n"));
    let registry = open(&server, "team/app:v1", &options(Some(&server.host)));
    registry.manifest(&platform()).unwrap();
    let tokens: Vec<_> = server.asked().into_iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].header("authorization").as_deref(), Some(BASIC));
    assert!(tokens[0].path.contains("scope=repository%3Ateam%2Fapp%3Apull&service=s%20t&account=user"), "{tokens:?}");
    // The password itself goes to the token service alone.
    let others = server.headers("/v2/", "authorization");
    assert!(others.iter().flatten().all(|value| value == "Bearer t0k3n"), "{others:?}");
    // An expired token is renewed.
    *registry.sessions[0].authorization() = Some(crate::image::auth::Secret::new("Bearer old".into()));
    registry.manifest(&platform()).unwrap();
}

#[test]
fn a_refresh_token_goes_in_a_form() {
    let server = Server::new(|_, asked, stream| with_token(asked, stream, &asked.header("host").unwrap(), "t"));
    let file = authfile(Some(&server.host));
    let text = json!({ "auths": { &server.host: { "identitytoken": "refresh" } } }).to_string();
    std::fs::write(&file, text).unwrap();
    let options = RegistryOptions { authfile: Some(file), insecure: true, timeout: 30, ..RegistryOptions::default() };
    open(&server, "app:v1", &options).manifest(&platform()).unwrap();
    let token = server.asked().into_iter().find(|asked| asked.path.starts_with("/token")).unwrap();
    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", "/token"));
}

#[test]
fn a_password_is_sent_where_basic_is_asked_for_and_a_wrong_one_is_said() {
    let answer = |expected: &'static str| {
        move |_: usize, asked: &Asked, stream: &mut TcpStream| match asked.header("authorization") {
            Some(value) if value == expected => image().answer(asked, stream),
            _ => respond(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
        }
    };
    let server = Server::new(answer(BASIC));
    let with = options(Some(&server.host));
    open(&server, "app:v1", &with).manifest(&platform()).unwrap();
    let text = problem(manifest(&server));
    assert!(text.contains("without credentials") && text.contains("podman login"), "{text}");
    let server = Server::new(answer("Basic other"));
    let text = problem(open(&server, "app:v1", &options(Some(&server.host))).manifest(&platform()));
    assert!(text.contains("with the credentials of the user user") && !text.contains("geheim"), "{text}");
}

#[test]
fn the_manifest_for_the_platform_is_chosen_and_a_foreign_image_is_refused() {
    static ARM: OnceLock<Image> = OnceLock::new();
    let arm = ARM.get_or_init(|| image_for("arm64"));
    let entry = |image: &Image, architecture: &str| {
        let mut entry = described(MANIFEST, &image.manifest);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    };
    let manifests = [entry(arm, "arm64"), entry(image(), "amd64")];
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string();
    let server = Server::new(move |_, asked, stream| match asked.path.as_str() {
        "/v2/app/manifests/v1" => {
            respond(stream, "200 OK", &format!("Content-Type: {INDEX}\r\n"), index.as_bytes());
        }
        "/v2/app/manifests/arm" => {
            respond(stream, "200 OK", &format!("Content-Type: {MANIFEST}\r\n"), &arm.manifest);
        }
        path if arm.digests[..2].iter().any(|digest| path.ends_with(digest)) => arm.answer(asked, stream),
        _ => image().answer(asked, stream),
    });
    assert_eq!(manifest(&server).unwrap().bytes, image().manifest);
    let found = open(&server, "app:v1", &options(None)).manifest(&"linux/arm64".parse().unwrap()).unwrap();
    assert_eq!(found.bytes, arm.manifest);
    let text = problem(open(&server, "app:v1", &options(None)).manifest(&"linux/s390x".parse().unwrap()));
    assert!(text.contains("no manifest for linux/s390x; it has linux/arm64, linux/amd64"), "{text}");
    let text = problem(open(&server, "app:arm", &options(None)).manifest(&platform()));
    assert!(text.contains("the image is for linux/arm64, and not for linux/amd64"), "{text}");
    assert!(!server.asked().iter().any(is_layer), "a layer was read");
}

#[test]
fn a_mirror_is_asked_first_without_the_registrys_secrets() {
    let mirror = Server::new(|_, _, stream| respond(stream, "404 Not Found", "", b""));
    let server = Server::new(|_, asked, stream| match asked.header("authorization") {
        Some(_) => image().answer(asked, stream),
        None => respond(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
    });
    let options = RegistryOptions { mirror: vec![mirror.host.clone()], ..options(Some(&server.host)) };
    let registry = open(&server, "app:v1", &options);
    registry.manifest(&platform()).unwrap();
    assert_eq!(mirror.headers("/v2/app/manifests/v1", "authorization"), [None]);
    let text = problem(open(&server, "app:v2", &options).manifest(&platform()));
    assert!(text.contains("MANIFEST_UNKNOWN") && text.contains(&format!("mirror {}", mirror.host)), "{text}");
}
