//! Registries that mean harm: each is refused with its fault, in bounded time.

use super::server::{Server, chunked, respond, stall};
use super::*;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Serves the image, but for the layer.
fn layer_server(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::new(
        move |_, asked, stream| if is_layer(asked) { answer(asked, stream) } else { image().answer(asked, stream) },
    )
}

/// Serves something else as the manifest.
fn manifest_server(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::new(
        move |_, asked, stream| {
            if asked.path.contains("/manifests/") { answer(stream) } else { image().answer(asked, stream) }
        },
    )
}

fn hasty_manifest(server: &Server) -> Result<Manifest> {
    open(server, "app:v1", &hasty()).manifest(&platform())
}

#[test]
fn a_server_that_sends_nothing_is_left() {
    let begun = Instant::now();
    let text = problem(hasty_manifest(&manifest_server(stall)));
    assert!(text.contains("the server sent nothing for 1 s"), "{text}");
    let text = problem(hasty_manifest(&manifest_server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
        stall(stream);
    })));
    assert!(text.contains("not whole in time"), "{text}");
    let text = problem(layer(
        &layer_server(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nabc");
            stall(stream);
        }),
        &hasty(),
        0,
    ));
    assert!(text.contains("the server sent nothing for 1 s, after 3 of 300000 bytes"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_blob_that_trickles_is_left() {
    let text = problem(layer(
        &layer_server(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
            while stream.write_all(b"a").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
        &hasty(),
        0,
    ));
    assert!(text.contains("bytes came in 1 s"), "{text}");
}

#[test]
fn a_connection_that_is_cut_again_and_again_is_given_up() {
    let text = problem(layer(
        &layer_server(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nabc");
        }),
        &options(None),
        0,
    ));
    assert!(text.contains("4 times"), "{text}");
    let server = manifest_server(|_| ());
    let text = problem(manifest(&server));
    assert!(text.contains("after 4 attempts") && text.contains("cut"), "{text}");
}

#[test]
fn wrong_sizes_and_digests_are_refused() {
    type Answer = fn(&mut TcpStream);
    let cases: [(Answer, &str); 5] = [
        (|stream| respond(stream, "200 OK", "", b"short"), "sends 5 bytes where the manifest says 300000"),
        (|stream| chunked(stream, "", &vec![0; SIZE + 1]), "sends more than the 300000 bytes"),
        (|stream| respond(stream, "200 OK", "", &vec![0; SIZE]), "the content has the digest"),
        (|stream| chunked(stream, "Content-Encoding: gzip\r\n", b"x"), "the content encoding \"gzip\""),
        (|stream| respond(stream, "404 Not Found", "", b""), "HTTP status 404"),
    ];
    for (answer, fault) in cases {
        let text = problem(layer(&layer_server(move |_, stream| answer(stream)), &options(None), 0));
        assert!(text.contains(fault), "{fault}: {text}");
    }
    let other =
        layer_server(|_, stream| respond(stream, "206 Partial Content", "Content-Range: bytes 5-9/10\r\n", b"short"));
    let text = problem(layer(&other, &options(None), 7));
    assert!(text.contains("asked for the bytes from 7"), "{text}");
}

#[test]
fn manifests_that_lie_are_refused() {
    let of = |media_type: &str, body: &str| (format!("Content-Type: {media_type}\r\n"), body.to_owned().into_bytes());
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let both = r#"{"schemaVersion": 2, "manifests": [], "layers": []}"#;
    let claimed = (format!("Docker-Content-Digest: {}\r\n", digest(b"other")), image().manifest.clone());
    let mut many = json!({ "schemaVersion": 2, "config": described(CONFIG, b""), "layers": [] });
    many["layers"] = vec![described(LAYER, b"x"); 600].into();
    for ((headers, body), fault) in [
        (of(MANIFEST, "{"), "no JSON"),
        (of(MANIFEST, "[]"), "cannot be read"),
        (of(MANIFEST, ""), "no JSON"),
        (of(schema_1, r#"{"schemaVersion": 1}"#), "Docker's first form"),
        (of("", r#"{"schemaVersion": 1, "fsLayers": []}"#), "Docker's first form"),
        (of("text/html", "<html>"), "no JSON"),
        (of("image/png", "{}"), "image/png"),
        (of(MANIFEST, both), "an index at the same time"),
        (of(INDEX, &String::from_utf8(image().manifest.clone()).unwrap()), "the response has the media type"),
        (of(MANIFEST, &many.to_string()), "600 layers"),
        (claimed, "and not the one in the head of the response"),
    ] {
        let server = manifest_server(move |stream| respond(stream, "200 OK", &headers, &body));
        let text = problem(manifest(&server));
        assert!(text.contains(fault), "{fault}: {text}");
    }
    let server = manifest_server(|stream| respond(stream, "200 OK", "", &image().manifest));
    let by_digest = format!("app@{}", digest(b"other"));
    let text = problem(open(&server, &by_digest, &options(None)).manifest(&platform()));
    assert!(text.contains("and not the one that was asked for"), "{text}");
}

#[test]
fn large_documents_are_not_read() {
    let five = vec![b' '; 5 << 20];
    let (with, without) = (five.clone(), five);
    let text = problem(manifest(&manifest_server(move |stream| respond(stream, "200 OK", "", &with))));
    assert!(text.contains("more than 4194304 bytes"), "{text}");
    let text = problem(manifest(&manifest_server(move |stream| chunked(stream, "", &without))));
    assert!(text.contains("more than 4194304 bytes"), "{text}");
    let bomb = |stream: &mut TcpStream| respond(stream, "200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08");
    let text = problem(manifest(&manifest_server(bomb)));
    assert!(text.contains("content encoding"), "{text}");
    let head = |stream: &mut TcpStream| respond(stream, "200 OK", &"X: y\r\n".repeat(20_000), b"");
    let text = problem(manifest(&manifest_server(head)));
    assert!(text.contains("head of the response") || text.contains("header"), "{text}");
}

#[test]
fn indexes_within_indexes_come_to_an_end() {
    let mut documents = vec![image().manifest.clone()];
    for depth in 0..10 {
        let media_type = if depth == 0 { MANIFEST } else { INDEX };
        let mut entry = described(media_type, &documents[depth]);
        entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        documents.push(index.to_string().into_bytes());
    }
    let server = Server::new(move |_, asked, stream| {
        let wanted = asked.path.rsplit('/').next().unwrap();
        let of_depth = wanted.strip_prefix("depth").map(|depth| depth.parse::<usize>().unwrap());
        let found = of_depth.or_else(|| documents.iter().position(|bytes| digest(bytes) == wanted));
        match found {
            Some(n) => {
                let media_type = if n == 0 { MANIFEST } else { INDEX };
                respond(stream, "200 OK", &format!("Content-Type: {media_type}\r\n"), &documents[n]);
            }
            None => image().answer(asked, stream),
        }
    });
    let read = |depth| open(&server, &format!("app:depth{depth}"), &options(None)).manifest(&platform());
    assert_eq!(read(2).unwrap().bytes, image().manifest);
    let text = problem(read(10));
    assert!(text.contains("indexes are within one another"), "{text}");
}

#[test]
fn a_secret_follows_no_redirect_to_another_host() {
    let other = Server::new(|_, asked, stream| {
        let way_back = asked.path.strip_prefix("/back/");
        match way_back {
            Some(host) => respond(stream, "302 Found", &format!("Location: http://{host}/last\r\n"), b""),
            None => respond(stream, "200 OK", "", &image().layer),
        }
    });
    for way in ["", "back"] {
        let to = other.host.clone();
        let server = Server::new(move |_, asked, stream| {
            let host = asked.header("host").unwrap();
            if asked.path == "/last" {
                return respond(stream, "200 OK", "", &image().layer);
            }
            if asked.path == "/moved" {
                let back = if way.is_empty() { String::new() } else { format!("back/{host}") };
                return respond(stream, "307 Temporary Redirect", &format!("Location: http://{to}/{back}\r\n"), b"");
            }
            match asked.header("authorization") {
                None => respond(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
                Some(_) => respond(stream, "302 Found", "Location: /moved\r\n", b""),
            }
        });
        let registry = open(&server, "app:v1", &options(Some(&server.host)));
        let mut bytes = Vec::new();
        registry.blob(&image().layer_descriptor(), 0).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == image().layer);
        // Within the registry it is kept.
        assert_eq!(server.headers("/moved", "authorization"), [Some(BASIC.to_owned())]);
        assert!(server.headers("/last", "authorization").iter().all(Option::is_none));
    }
    assert_eq!(other.asked().len(), 2);
    assert!(other.headers("", "authorization").iter().all(Option::is_none), "{:?}", other.asked());
}

#[test]
fn redirects_end_and_lead_to_no_plain_http_elsewhere() {
    let endless = manifest_server(|stream| respond(stream, "302 Found", "Location: /v2/app/manifests/v1\r\n", b""));
    let text = problem(manifest(&endless));
    assert!(text.contains("more than 5 redirects"), "{text}");
    for (location, fault) in [
        ("Location: http://169.254.169.254/latest?secret=1\r\n", "plain http is only for registries on loopback"),
        ("Location: http://user:geheim@127.0.0.1/\r\n", "a URL with a user name in it"),
        ("Location: file:///etc/passwd\r\n", "a URL that cannot be read"),
        ("", "the location is missing"),
    ] {
        let text = problem(manifest(&manifest_server(move |stream| respond(stream, "302 Found", location, b""))));
        assert!(text.contains(fault) && !text.contains("secret") && !text.contains("geheim"), "{location}: {text}");
    }
}

#[test]
fn token_services_are_held_to_https_and_to_bounds() {
    let asked_by = |challenge: &'static str, answer: &'static str| {
        let server = Server::new(move |_, asked, stream| {
            if asked.path.starts_with("/token") {
                let large = format!(r#"{{"token": "{}"}}"#, "a".repeat(80_000));
                let answer = if answer == "large" { &large } else { answer };
                return respond(stream, "200 OK", "", answer.as_bytes());
            }
            let challenge = challenge.replace("HOST", &asked.header("host").unwrap());
            respond(stream, "401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), b"");
        });
        let text = problem(open(&server, "app:v1", &options(Some(&server.host))).manifest(&platform()));
        assert!(
            !text.contains("geheim")
                && server.headers("/v2/", "authorization").iter().flatten().all(|v| !v.starts_with("Basic")),
            "{text}"
        );
        text
    };
    let own = "Bearer realm=\"http://HOST/token\"";
    for (challenge, answer, fault) in [
        ("Bearer realm=\"http://auth.example.com/token\"", "", "plain http is only for registries on loopback"),
        ("Bearer realm=\"http://169.254.169.254/token\"", "", "plain http is only for registries on loopback"),
        ("Bearer realm=\"gopher://x/\"", "", "neither https nor http"),
        ("Bearer realm=\"\"", "", "URL"),
        ("Negotiate", "", "other than Basic and Bearer"),
        (own, "{}", "no token"),
        (own, "<html>", "no JSON"),
        (own, "large", "more than 65536 bytes"),
        (own, r#"{"token": "a\r\nX: y"}"#, "no header may have"),
        (own, r#"{"token": "never right"}"#, "no header may have"),
        (own, r#"{"access_token": "wrong"}"#, "refuses access"),
    ] {
        let text = asked_by(challenge, answer);
        assert!(text.contains(fault), "{challenge} {answer}: {text}");
    }
}

#[test]
fn insecure_is_for_loopback_alone() {
    let of = |name: &str, insecure| {
        Registry::new(name.parse().unwrap(), &RegistryOptions { insecure, ..options(None) }).map(|_| ())
    };
    assert!(problem(of("quay.io/app", true)).contains("--insecure: quay.io is not on loopback"));
    of("quay.io/app", false).unwrap();
    of("localhost:5000/app", true).unwrap();
    let server = Server::new(|_, asked, stream| image().answer(asked, stream));
    let secure = RegistryOptions { insecure: false, ..options(None) };
    let text = problem(open(&server, "app:v1", &secure).manifest(&platform()));
    assert!(server.asked().is_empty(), "{text}");
}
