//! Labels read back from exposition text.

use super::relabel::Label;

/// The pairs of `a="b",c="d"`, values without their escapes.
///
/// The text is the agent's own, so a part that is not of this form ends the list.
pub fn labels_of(text: &str) -> Vec<Label> {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = None;
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => {}
                },
                plain => value.push(plain),
            }
        }
        let Some(end) = end else { break };
        labels.push((name.into(), value.into()));
        let after = after.get(end..).unwrap_or_default();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let found = labels_of(r#"a="",b="x\"y\\z\n,",c="}=é""#);
        let expected = [("a", ""), ("b", "x\"y\\z\n,"), ("c", "}=é")];
        let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(found, expected);
        assert!(labels_of("").is_empty());
        assert_eq!(labels_of("a=\"no end").len(), 0);
    }
}
