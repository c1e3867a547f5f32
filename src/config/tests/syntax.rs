use std::borrow::Cow;

use crate::config::*;

fn refused(json: &str) -> String {
    parse(json).unwrap_err().to_string()
}

#[test]
fn an_empty_object_has_no_field_set() {
    assert_eq!(parse("{}").unwrap(), Spec::default());
    assert_eq!(parse(" null ").unwrap(), Spec::default());
}

#[test]
fn strings_are_borrowed_unless_they_hold_an_escape() {
    let spec = parse(r#"{"hostname": "plain", "domainname": "a\u0026b\n\ud83d\ude00\ud800"}"#).unwrap();
    assert!(matches!(spec.hostname, Some(Cow::Borrowed("plain"))));
    assert_eq!(spec.domainname.unwrap(), "a&b\n\u{1f600}\u{fffd}");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_path() {
    let limit = "{\n\"linux\":{\"resources\":{\"memory\":{\n  \"limit\":  \"1G\"}}}}";
    let hint = "(hint: a number has no quotes, unit, fraction or exponent, such as 1048576)";
    let problem = r#"linux.resources.memory.limit: expected an integer, found a string "1G" at line 3, column 13"#;
    assert_eq!(refused(limit), format!("{problem} {hint}"));
    let item = r#"{"linux":{"namespaces":[{"type":"pid"},{"type":true}]}}"#;
    let quotes = "(hint: write it in double quotes)";
    let problem = "linux.namespaces[1].type: expected a string, found true at line 1, column 48";
    assert_eq!(refused(item), format!("{problem} {quotes}"));
    let map = r#"{"annotations":{"a.b":{}}}"#;
    let problem = "annotations.a.b: expected a string, found an object at line 1, column 23";
    assert_eq!(refused(map), format!("{problem} {quotes}"));
    assert!(refused("[]").starts_with("the document: expected an object, found a list at line 1, column 1 (hint: "));
    assert!(refused(r#"{"root":{"readonly":"yes"}}"#).ends_with("column 21 (hint: write it without quotes)"));
    assert!(refused(r#"{"mounts":{}}"#).ends_with("column 11 (hint: write it in square brackets, [ and ])"));
}

#[test]
fn an_integer_must_be_whole_and_fit_its_type() {
    let uid = |number: &str| parse(&format!(r#"{{"process":{{"user":{{"uid":{number}}}}}}}"#)).map(drop);
    assert!(uid("4294967295").is_ok());
    let text = uid("-1").unwrap_err().to_string();
    assert_eq!(text, "process.user.uid: expected an integer from 0 to 4294967295, found -1 at line 1, column 27");
    let text = uid("1.0").unwrap_err().to_string();
    assert!(
        text.starts_with("process.user.uid: expected an integer, found 1.0 at line 1, column 27 (hint: "),
        "{text}"
    );
    for number in ["4294967296", "1e3", "99999999999999999999999999999999999999999999999999", "-0.0"] {
        assert!(uid(number).is_err(), "{number}");
    }
    let least = parse_resources(r#"{"memory":{"limit":-9223372036854775808}}"#).unwrap();
    assert_eq!(least.memory.unwrap().limit, Some(i64::MIN));
    let most = parse_process(r#"{"rlimits":[{"hard":18446744073709551615}]}"#).unwrap();
    assert_eq!(most.rlimits.unwrap()[0].hard, Some(u64::MAX));
}

#[test]
fn bad_syntax_is_refused_with_its_line_and_column() {
    assert_eq!(refused("{\n  \"root\": }"), "line 2, column 11: expected a value, found '}'");
    assert_eq!(refused("{]"), "line 1, column 2: expected a key in double quotes, found ']'");
    let advised = |text, advice| assert!(refused(text).ends_with(&format!(" ({advice})")), "{}", refused(text));
    advised("{\"root\": {}, }", "one comma too many");
    advised("{\"mounts\": [{},]}", "one comma too many");
    advised("{ // a comment", "JSON has no comments");
    advised("{'root': 1}", "texts stand in double quotes");
    advised("\u{feff}{}", "save the file without a byte order mark");
    advised("{\0\"\0", "save the file as UTF-8");
    advised("\0{\0\"", "save the file as UTF-8");
    assert_eq!(refused(""), "line 1, column 1: expected a value, found the end of the document");
    assert_eq!(refused("{} x"), "line 1, column 4: expected the end of the document, found 'x'");
    for bad in [
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a",
        "{\"a\":\"",
        "{\"hostname\":\"\\",
        "{a:1}",
        "\u{feff}{}",
        "{\"a\":'x'}",
        "{\"a\":+1}",
        "{\"a\":[",
        "{,}",
    ] {
        assert!(refused(bad).starts_with("line 1, column "), "{bad}: {}", refused(bad));
    }
}

#[test]
fn every_prefix_of_a_document_is_refused() {
    let json =
        r#"{"a":[{"b":[1,-2.5e+3,"\u00e9\n"]},[],{},true,false,null],"root":{"path":"x"},"linux":{"sysctl":{}}}"#;
    for end in 0..json.len() {
        assert!(parse(&json[..end]).is_err(), "{}", &json[..end]);
    }
    parse(json).unwrap();
}

#[test]
fn keys_match_exactly_or_else_in_any_case() {
    assert_eq!(parse(r#"{"HostName":"a"}"#).unwrap().hostname.unwrap(), "a");
    assert_eq!(parse("{\"ho\u{17f}tname\":\"a\"}").unwrap().hostname.unwrap(), "a");
    assert_eq!(parse(r#"{"linux":{"CGROUPSPATH":"/x"}}"#).unwrap().linux.unwrap().cgroups_path.unwrap(), "/x");
    assert_eq!(parse(r#"{"host\u006eame":"a"}"#).unwrap().hostname.unwrap(), "a");
    assert_eq!(parse(r#"{"host_name":"a"}"#).unwrap(), Spec::default());
}

#[test]
fn of_equal_keys_the_last_wins_and_objects_are_merged() {
    let spec = parse(r#"{"hostname":"a","HOSTNAME":"b","root":{"path":"x"},"root":{"readonly":true}}"#).unwrap();
    assert_eq!(spec.hostname.unwrap(), "b");
    assert_eq!(spec.root, Some(Root { path: Some("x".into()), readonly: Some(true) }));
    let args = parse_process(r#"{"args":["a","b"],"args":["c"]}"#).unwrap().args;
    assert_eq!(args, Some(vec!["c".into()]));
    let spec = parse(r#"{"annotations":{"a":"1","b":"2","a":"3"},"annotations":{"c":"4","b":"5"}}"#).unwrap();
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        [("a", "3"), ("c", "4"), ("b", "5")].map(|(key, value)| (key.into(), value.into())).into();
    assert_eq!(spec.annotations, Some(pairs));
}

#[test]
fn null_is_absent() {
    let spec = parse(r#"{"hostname":null,"process":null,"mounts":null,"root":{"readonly":null},"annotations":null}"#);
    assert_eq!(spec.unwrap(), Spec { root: Some(Root::default()), ..Spec::default() });
    assert_eq!(parse(r#"{"hostname":"a","hostname":null}"#).unwrap().hostname, None);
    assert_eq!(parse_process(r#"{"args":["a",null]}"#).unwrap().args, Some(vec!["a".into(), "".into()]));
}

#[test]
fn unknown_keys_and_values_are_accepted() {
    let spec = parse(r#"{"x":{"y":[1,{"z":"\u0041"},[[]]]},"process":{"capabilities":{"bounding":["CAP_NEXT"]}}}"#);
    let bounding = spec.unwrap().process.unwrap().capabilities.unwrap().bounding.unwrap();
    assert_eq!(bounding, ["CAP_NEXT"]);
}

#[test]
fn bytes_that_are_no_utf_8_are_replaced() {
    assert_eq!(parse(&b"{\"hostname\":\"a\xffb\"}"[..]).unwrap().hostname.unwrap(), "a\u{fffd}b");
    assert_eq!(parse(&b"{\"hostname\":\"\\n\xff\"}"[..]).unwrap().hostname.unwrap(), "\n\u{fffd}");
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{{\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth));
        parse(&nested(1024)).unwrap();
        assert!(refused(&nested(1025)).contains("nested more than 1024 deep"));
        assert!(refused(&nested(1_000_000)).contains("nested more than 1024 deep"));
    }
}

#[test]
fn a_hundred_thousand_annotations_are_read() {
    let pairs: Vec<String> = (0..100_000).map(|n| format!("\"key{}\":\"{n}\"", n % 50_000)).collect();
    let json = format!("{{\"annotations\":{{{}}}}}", pairs.join(","));
    let annotations = parse(&json).unwrap().annotations.unwrap();
    assert_eq!(annotations.len(), 50_000);
    assert_eq!(annotations[7], ("key7".into(), "50007".into()));
}

#[test]
fn what_is_json_is_what_serde_json_takes_for_it() {
    let json = include_bytes!("../testdata/spec/spec-example.json");
    let mut state = 0x5eed_u64;
    let mut random = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let letters = b"{}[]\",:0123456789-+.eEtfn \\\n\t\0x";
    let (mut good, mut bad) = (0, 0);
    for _ in 0..3000 {
        let mut mutant = json.to_vec();
        for _ in 0..=random(2) {
            let at = random(mutant.len());
            match random(3) {
                0 => mutant[at] = letters[random(letters.len())],
                1 => mutant.insert(at, letters[random(letters.len())]),
                _ => drop(mutant.remove(at)),
            }
        }
        let ours = parse(&mutant).map_err(|error| error.to_string());
        let syntax = ours.as_ref().is_err_and(|text| text.starts_with("line "));
        match serde_json::from_slice::<serde_json::Value>(&mutant) {
            Ok(_) => {
                assert!(!syntax, "{ours:?} {}", String::from_utf8_lossy(&mutant));
                good += 1;
            }
            // Numbers of any size are JSON.
            Err(error) if error.to_string().contains("out of range") => {}
            Err(error) => {
                assert!(ours.is_err(), "{error} {}", String::from_utf8_lossy(&mutant));
                bad += 1;
            }
        }
    }
    assert!(good > 300 && bad > 1000, "{good} {bad}");
}

#[test]
fn an_object_that_stands_again_and_again_takes_no_time_in_the_square() {
    let many = |count: usize| (0..count).map(|n| format!("\"k{n}\":\"\"")).collect::<Vec<_>>().join(",");
    let again = |times: usize| {
        format!("{{\"annotations\":{{{}}}{}}}", many(1000), ",\"annotations\":{\"a\":\"\"}".repeat(times))
    };
    assert_eq!(parse(&again(3)).unwrap().annotations.unwrap().len(), 1001);
    assert!(refused(&again(1000)).contains("an object that is not repeated so often"));
    assert!(parse(&format!("{{{}\"a\":1}}", "\"annotations\":{},".repeat(20_000))).is_ok());
}
