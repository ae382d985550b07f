use proptest::prelude::*;

use super::*;

fn scalar(text: &str) -> Value {
    Value::Scalar { text: text.into(), boolean: None }
}

fn map(node: &Node) -> Vec<(&str, &Value)> {
    match &node.value {
        Value::Map(entries) => entries.iter().map(|e| (e.key.as_str(), &e.node.value)).collect(),
        other => panic!("a mapping, not {other:?}"),
    }
}

#[test]
fn scalars_keep_their_text() {
    let text = "a: 1\nb: 0x10\nc: 1.50 # why\nd: 'x'\ne: |\n  two\n  lines\nf: $2y$10$abc\n\
                g: .nan\nh: 12345678901234567890123\n1: 2\ni: &x 07\nj: *x\n";
    let node = parse(text).expect("YAML");
    let expected = [
        ("a", "1"),
        ("b", "0x10"),
        ("c", "1.50"),
        ("d", "x"),
        ("e", "two\nlines\n"),
        ("f", "$2y$10$abc"),
        ("g", ".nan"),
        ("h", "12345678901234567890123"),
        ("1", "2"),
        ("i", "07"),
        ("j", "07"),
    ];
    let expected: Vec<(&str, Value)> = expected.iter().map(|(k, v)| (*k, scalar(v))).collect();
    let expected: Vec<(&str, &Value)> = expected.iter().map(|(k, v)| (*k, v)).collect();
    assert_eq!(map(&node), expected);
}

#[test]
fn booleans_nulls_and_nothing() {
    let node = parse("a: yes\nb: false\nc:\nd: ~\ne: 'true'\n").expect("YAML");
    let boolean = |text: &str, value| Value::Scalar { text: text.into(), boolean: Some(value) };
    let (yes, no, quoted) = (boolean("yes", true), boolean("false", false), scalar("true"));
    let expected =
        [("a", &yes), ("b", &no), ("c", &Value::Null), ("d", &Value::Null), ("e", &quoted)];
    assert_eq!(map(&node), expected);
    for empty in ["", "\n\n", "# only a comment\n", "  # indented\n"] {
        assert_eq!(parse(empty).expect(empty).value, Value::Null, "{empty:?}");
    }
}

#[test]
fn every_mistake_has_its_line_and_path() {
    let node = parse(
        "known: 1\nodd: 2\nlist: [a, {b: c}]\nflag: perhaps\nknown: 3\ninner:\n  deep: [1]\n  \
         \"new\\nline\": 1\nother: text\n",
    )
    .expect("YAML");
    let mut problems = Problems::default();
    let mut top = Section::top(&node, &mut problems);
    assert_eq!(top.text("known", &mut problems).map(|s| s.value), Some("1".into()));
    assert_eq!(top.texts("list", &mut problems).map(|list| list.value.len()), Some(1));
    assert_eq!(top.boolean("flag", &mut problems), None);
    let mut inner = top.section("inner", &mut problems);
    assert_eq!(inner.text("deep", &mut problems), None);
    inner.finish(&mut problems);
    top.section("other", &mut problems).finish(&mut problems);
    top.section("absent", &mut problems).finish(&mut problems);
    top.finish(&mut problems);
    let found: Vec<String> =
        problems.into_sorted().iter().map(std::string::ToString::to_string).collect();
    let known = "unknown key: must be one of known, list, flag, inner, other, absent";
    assert_eq!(
        found,
        [
            &format!("2:1: odd: {known}"),
            "3:11: list[1]: must be a single value",
            "4:7: flag: must be true or false",
            "5:1: known: is there twice: keep one of them",
            "7:9: inner.deep: must be a single value",
            "8:3: inner.new\\nline: unknown key: must be one of deep",
            "9:8: other: must be a mapping of keys to values",
        ]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for (text, line) in [("a: [1, 2\nb: 3\n", 2), ("a: 1\n\tb: 2\n", 1), ("a: 'x\n", 1)] {
        let problem = parse(text).expect_err(text);
        assert!(problem.place.line >= line, "{problem}");
        assert!(!problem.message.contains('\n'), "{problem}");
    }
    assert!(parse("a: 1\n---\nb: 2\n").is_err(), "two documents");
    assert!(parse(&format!("a: {}{}", "[".repeat(100), "]".repeat(100))).is_err(), "too deep");
    assert!(parse(&"[".repeat(100_000)).is_err(), "much too deep");
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n\
                c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n\
                e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e, *e, *e, *e]\n";
    assert!(parse(bomb).is_err(), "an alias bomb");
}

proptest! {
    /// Whatever the file says: nodes whose places are in it, or a problem of one line.
    #[test]
    fn any_text_is_taken_apart_or_refused(
        text in "[a-c0-1 \t\n:,?&*!|>'\"%@`#{}\\[\\]<~.$-]{0,80}",
    ) {
        let lines = text.lines().count() as u64 + 1;
        match parse(&text) {
            Ok(node) => {
                let mut problems = Problems::default();
                let top = Section::top(&node, &mut problems);
                top.finish(&mut problems);
                for problem in problems.into_sorted() {
                    prop_assert!((1..=lines).contains(&problem.place.line), "{problem}");
                    prop_assert!(!problem.to_string().contains('\n'), "{problem}");
                }
            }
            Err(problem) => prop_assert!(problem.place.line >= 1, "{problem}"),
        }
    }
}
