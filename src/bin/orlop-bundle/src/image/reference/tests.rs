//! Names, enumerated.

use super::*;

const SHA256: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn full(text: &str) -> String {
    match text.parse::<Reference>() {
        Ok(Reference::Registry(name)) => name.to_string(),
        Ok(other) => panic!("{text}: {other:?}"),
        Err(error) => panic!("{error:#}"),
    }
}

fn refused(text: &str) -> String {
    match text.parse::<Reference>() {
        Ok(reference) => panic!("{text:?} was taken as {reference:?}"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn names_of_registries_are_completed_as_docker_does() {
    for (written, meant) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("docker://busybox", "docker.io/library/busybox:latest"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:db8::1]/app", "[2001:db8::1]/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("quay.io/a-b/c__d/e.f/g--h:T_1.2-3", "quay.io/a-b/c__d/e.f/g--h:T_1.2-3"),
        ("http:5000/app", "http:5000/app:latest"),
        ("docker:27", "docker.io/library/docker:27"),
    ] {
        assert_eq!(full(written), meant, "{written}");
    }
    assert_eq!(full(&format!("quay.io/app@{SHA256}")), format!("quay.io/app@{SHA256}"));
    assert_eq!(full(&format!("busybox:1@{SHA256}")), format!("docker.io/library/busybox:1@{SHA256}"));
}

#[test]
fn a_digest_counts_more_than_a_tag() {
    let name: Name = format!("busybox:1@{SHA256}").parse().unwrap();
    assert_eq!(name.selector(), SHA256);
    assert_eq!("busybox:1".parse::<Name>().unwrap().selector(), "1");
}

#[test]
fn wrong_names_are_refused_with_their_fault() {
    let long = format!("quay.io/{}", "a".repeat(248));
    let identifier = "a".repeat(64);
    let long_tag = format!("busybox:{}", "a".repeat(129));
    let truncated = format!("busybox@{}", &SHA256[..70]);
    let capital = format!("busybox@{}", SHA256.replace('b', "B"));
    let other = format!("busybox@sha384:{}", "a".repeat(96));
    for (text, fault) in [
        ("", "empty"),
        ("Busybox", "capital letters"),
        ("docker://", "missing"),
        ("quay.io/", "missing"),
        ("a//b", "not part of a name"),
        ("quay.io/a..b", "not part of a name"),
        ("quay.io/a___b", "not part of a name"),
        ("quay.io/-a", "not part of a name"),
        ("quay.io/a-", "not part of a name"),
        ("quay.io/../a", "not part of a name"),
        ("quay.io/a b", "not part of a name"),
        ("quay.io/\u{e4}", "not part of a name"),
        ("quay.io/a?x=1", "not part of a name"),
        ("quay.io/a#b", "not part of a name"),
        ("quay.io/a%2fb", "not part of a name"),
        ("busybox:", "the tag"),
        ("busybox:-a", "the tag"),
        ("busybox:a/b:", "the tag"),
        ("busybox:a:b", "the tag"),
        (long_tag.as_str(), "the tag"),
        (long.as_str(), "more than 255"),
        (identifier.as_str(), "an identifier"),
        ("busybox@", "the digest"),
        ("busybox@sha256:abc", "the digest"),
        (truncated.as_str(), "the digest"),
        (capital.as_str(), "the digest"),
        (other.as_str(), "sha384"),
        ("host:0/a", "the port"),
        ("host:65536/a", "the port"),
        ("host:x/a", "the port"),
        ("user@host.com/a", "the digest"),
        ("-host.com/a", "letters, digits and hyphens"),
        ("ho_st.com/a", "letters, digits and hyphens"),
        ("a..b/c", "letters, digits and hyphens"),
        ("[::1/a", "] is missing"),
        ("[::g]/a", "not an IPv6 address"),
        ("[::1]x/a", "follows the address"),
        ("a\nb", "control character"),
        ("./image.tar", "is a path"),
        ("/image.tar", "is a path"),
        ("https://quay.io/app", "not supported"),
        ("dir:/tmp/x", "not supported"),
        ("containers-storage:x", "not supported"),
        ("oci:", "needs a directory"),
        ("tar:", "needs a file"),
        ("oci-archive:", "the file is missing"),
        ("oci-archive:a.tar:", "is empty"),
        ("docker-archive:a.tar:@x", "not a number"),
        ("docker-archive:a.tar:A", "capital letters"),
    ] {
        let error = refused(text);
        assert!(error.contains(fault), "{text:?}: {error}");
    }
}

#[test]
fn files_and_directories_have_their_transports() {
    for (text, meant) in [
        ("oci:/a/b:tag", Reference::Layout("/a/b:tag".into())),
        ("oci-archive:a.tar", Reference::OciArchive { file: "a.tar".into(), tag: None }),
        ("oci-archive:a.tar:1.0", Reference::OciArchive { file: "a.tar".into(), tag: Some("1.0".into()) }),
        ("docker-archive:a.tar", Reference::DockerArchive { file: "a.tar".into(), choice: Choice::Only }),
        ("docker-archive:a.tar:@1", Reference::DockerArchive { file: "a.tar".into(), choice: Choice::Index(1) }),
        (
            "docker-archive:a.tar:app:1",
            Reference::DockerArchive { file: "a.tar".into(), choice: Choice::Tag("docker.io/library/app:1".into()) },
        ),
        ("tar:/a/b.tar", Reference::Tar("/a/b.tar".into())),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap(), meant, "{text}");
    }
}

#[test]
fn an_expanded_name_is_said() {
    let said = |text: &str| text.parse::<Reference>().unwrap().expansion(text);
    assert_eq!(said("busybox").as_deref(), Some("busybox means docker.io/library/busybox:latest"));
    assert_eq!(said("user/app:1").as_deref(), Some("user/app:1 means docker.io/user/app:1"));
    for text in ["quay.io/app:1", "localhost/app", "docker://quay.io/a", "oci:/a", "tar:a"] {
        assert_eq!(said(text), None, "{text}");
    }
}
