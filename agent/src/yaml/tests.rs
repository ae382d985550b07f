use proptest::prelude::*;

use super::*;

fn map(node: &Node) -> Vec<(&str, &Node)> {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().map(|(key, node)| (key.text().expect("a scalar"), node)).collect()
        }
        other => panic!("a mapping, not {other:?}"),
    }
}

#[test]
fn scalars_have_a_type_and_keep_their_text() {
    let text = "a: 1\nb: 0x10\nc: 1.50 # why\nd: 'x'\ne: |\n  two\n  lines\nf: $2y$10$abc\n\
                g: .nan\nh: 12345678901234567890123\n1: 2\ni: &x 07\nj: *x\nk: no\nl: True\n\
                m: 'true'\nn: -.inf\no: !!int \"5\"\n";
    let node = parse(text.as_bytes()).expect("YAML");
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = [
        ("a", "1", Value::Integer(1)),
        ("b", "0x10", Value::Integer(16)),
        ("c", "1.50", Value::Float(1.5)),
        ("d", "x", text("x")),
        ("e", "two\nlines\n", text("two\nlines\n")),
        ("f", "$2y$10$abc", text("$2y$10$abc")),
        ("g", ".nan", Value::Float(f64::NAN)),
        ("h", "12345678901234567890123", Value::Float(1.234_567_890_123_456_8e22)),
        ("1", "2", Value::Integer(2)),
        ("i", "07", Value::Float(7.0)),
        ("j", "07", Value::Float(7.0)),
        ("k", "no", text("no")),
        ("l", "True", Value::Bool(true)),
        ("m", "true", text("true")),
        ("n", "-.inf", Value::Float(f64::NEG_INFINITY)),
        ("o", "5", Value::Integer(5)),
    ];
    let found = map(&node);
    assert_eq!(found.len(), expected.len());
    for ((key, node), (name, written, value)) in found.into_iter().zip(expected) {
        assert_eq!((key, node.text()), (name, Some(written)));
        // Not-a-number is not equal to itself, but looks the same.
        assert_eq!(format!("{:?}", node.value), format!("{value:?}"), "{name}");
    }
}

#[test]
fn booleans_nulls_and_nothing() {
    let node = parse(b"a: yes\nb: false\nc:\nd: ~\ne: 'true'\nf: Off\ng: 1\n").expect("YAML");
    let found: Vec<_> = map(&node).into_iter().map(|(_, node)| node.boolean()).collect();
    assert_eq!(found, [Some(true), Some(false), None, None, None, Some(false), None]);
    assert_eq!(map(&node)[2].1.value, Value::Null);
    assert_eq!((&map(&node)[3].1.value, map(&node)[3].1.text()), (&Value::Null, None));
    for empty in ["", "\n\n", "# only a comment\n", "  # indented\n"] {
        assert_eq!(parse(empty.as_bytes()).expect(empty).value, Value::Null, "{empty:?}");
    }
}

#[test]
fn what_is_merged_stands_where_it_is_merged_and_gives_way_to_what_is_there() {
    let node = parse(b"a: &a {x: 1.0, y: 2}\nb: {<<: *a, x: 3}\n").expect("YAML");
    let mut problems = Problems::default();
    let top = Section::new(&At::top(&node), &["a", "b"], &mut problems);
    let merged = Section::new(top.at("b").expect("b"), &["x"], &mut problems);
    assert_eq!(merged.read("x", &mut problems, text), Some("3".to_owned()));
    assert_eq!(told(problems), ["2:9: b.y: is not known; the keys here are x"]);
}

fn told(problems: Problems) -> Vec<String> {
    problems.into_sorted().iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_has_its_line_and_path() {
    let node = parse(
        b"known: 1\nodd: 2\nlist: [a, {b: c}]\nflag: perhaps\nknown: 3\ninner:\n  deep: [1]\n  \
          \"new\\nline\": 1\nother: text\nopen: secret\n[a]: b\nabent: 1\n",
    )
    .expect("YAML");
    let mut problems = Problems::default();
    let keys = ["known", "list", "flag", "inner", "other", "open", "absent"];
    let top = Section::new(&At::top(&node), &keys, &mut problems);
    assert_eq!(top.read("known", &mut problems, text), Some("1".into()));
    assert_eq!(top.read("list", &mut problems, texts).map(|list| list.len()), Some(1));
    assert_eq!(top.read("flag", &mut problems, flag), None);
    let inner = Section::new(top.at("inner").expect("inner"), &["deep"], &mut problems);
    assert_eq!(inner.read("deep", &mut problems, text), None);
    Section::new(top.at("other").expect("other"), &["a", "b"], &mut problems);
    let open = Section::open(top.at("open").expect("open"), "a mapping", &mut problems);
    assert!(open.is_empty() && top.at("absent").is_none());
    assert_eq!(
        told(problems),
        [
            &*format!("2:1: odd: is not known; the keys here are {}", keys.join(", ")),
            "3:11: list[1]: must be a text, not a mapping",
            "4:7: flag: must be true or false, not \"perhaps\"",
            "5:1: known: stands twice; remove one (the other is at line 1)",
            "7:9: inner.deep: must be a text, not a list",
            "8:3: inner.new\\nline: is not known; the keys here are deep",
            "9:8: other: must be a mapping with the keys a, b, not \"text\"",
            "10:7: open: must be a mapping, not a single value",
            "11:1: a list cannot be a key",
            "12:1: abent: is not known; did you mean absent?",
        ]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for (text, line) in [("a: [1, 2\nb: 3\n", 2), ("a: 1\n\tb: 2\n", 1), ("a: 'x\n", 1)] {
        let problem = parse(text.as_bytes()).expect_err(text);
        assert!(problem.place.line >= line, "{problem}");
        assert!(!problem.message.contains('\n'), "{problem}");
        assert!(!problem.message.contains(" at line "), "the place is told once: {problem}");
    }
    assert!(parse(b"a: 1\n---\nb: 2\n").is_err(), "two documents");
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(parse(deep.as_bytes()).is_err(), "too deep");
    assert!(parse(&[b'['; 100_000]).is_err(), "much too deep");
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n\
                c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n\
                e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e, *e, *e, *e]\n";
    assert!(parse(bomb.as_bytes()).is_err(), "an alias bomb");
}

proptest! {
    /// Whatever the file says: nodes whose places are in it, or a problem of one line.
    #[test]
    fn any_text_is_taken_apart_or_refused(
        source in "[a-c0-1 \t\n:,?&*!|>'\"%@`#{}\\[\\]<~.$-]{0,80}",
    ) {
        let lines = source.lines().count() as u64 + 1;
        match parse(source.as_bytes()) {
            Ok(node) => {
                let mut problems = Problems::default();
                let top = At::top(&node);
                let section = Section::new(&top, &["a"], &mut problems);
                section.read("a", &mut problems, texts);
                for entry in Section::open(&top, "a mapping", &mut problems).into_entries() {
                    text(&entry.at, &mut problems);
                }
                for problem in problems.into_sorted() {
                    prop_assert!((1..=lines).contains(&problem.place.line), "{problem}");
                    prop_assert!(!problem.to_string().contains('\n'), "{problem}");
                }
            }
            Err(problem) => prop_assert!(problem.place.line >= 1, "{problem}"),
        }
    }
}
