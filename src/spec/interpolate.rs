//! `"${name}"` in values.
//!
//! A string that is one reference and nothing else becomes the value with its type. Inside a longer string the value
//! is written out, so it must not be a list or table. `$${` is a literal `${`.

use super::problem::{Finding, Findings};
use super::source::Span;
use super::value::{Entry, Node, Value};

/// Where references find their values.
pub(super) trait Lookup {
    /// The value of `${path}`. What keeps it from being found is in `findings`, now or since earlier.
    fn value(&mut self, path: &[&str], at: Span, findings: &mut Findings) -> Option<Node>;
}

/// Replaces every reference in a value. `None` when one cannot be resolved; the reason is in `findings`.
pub(super) fn interpolate(
    node: &Node,
    lookup: &mut dyn Lookup,
    findings: &mut Findings,
) -> Option<Node> {
    let value = match &node.value {
        Value::Text(text) if text.contains("${") => {
            return interpolate_text(text, node.span, lookup, findings);
        }
        // Every element is tried, so that all problems are found.
        Value::List(nodes) => {
            let nodes: Vec<Option<Node>> = nodes
                .iter()
                .map(|node| interpolate(node, lookup, findings))
                .collect();
            Value::List(nodes.into_iter().collect::<Option<_>>()?)
        }
        Value::Table(entries) => {
            let entries: Vec<Option<Entry>> = entries
                .iter()
                .map(|entry| {
                    let node = interpolate(&entry.node, lookup, findings)?;
                    Some(Entry {
                        key: entry.key.clone(),
                        key_span: entry.key_span,
                        node,
                    })
                })
                .collect();
            Value::Table(entries.into_iter().collect::<Option<_>>()?)
        }
        plain => plain.clone(),
    };
    Some(Node {
        span: node.span,
        value,
    })
}

fn interpolate_text(
    text: &str,
    span: Span,
    lookup: &mut dyn Lookup,
    findings: &mut Findings,
) -> Option<Node> {
    let pieces = match parse(text) {
        Ok(pieces) => pieces,
        Err(message) => {
            findings.add(Finding::new(span, message).hint("write `$${` for a literal `${`"));
            return None;
        }
    };
    // A reference inside a longer string has a place of its own where the text stands in the file as it is: no escapes.
    let inside = |path: &str| {
        let at = path.as_ptr() as usize - text.as_ptr() as usize;
        let start = text[..at].rfind("${").unwrap_or(at);
        let end = at + path.len() + text[at + path.len()..].find('}').map_or(0, |gap| gap + 1);
        match (span.end - span.start).checked_sub(text.len()) {
            // `--set` has no quotes.
            Some(0) => Span::new(span.start + start, span.start + end),
            Some(2) => Span::new(span.start + 1 + start, span.start + 1 + end),
            _ => span,
        }
    };
    if let [Piece::Reference(path)] = pieces.as_slice() {
        let found = lookup.value(&split(path), span, findings)?;
        return Some(found.moved_to(span));
    }
    let mut whole = Some(String::new());
    for piece in &pieces {
        let part = match piece {
            Piece::Literal(part) => Some((*part).to_owned()),
            Piece::Reference(path) => lookup
                .value(&split(path), inside(path), findings)
                .and_then(|found| plain(&found, path, inside(path), findings)),
        };
        whole = match (whole, part) {
            (Some(whole), Some(part)) => Some(whole + &part),
            _ => None,
        };
    }
    Some(Node {
        span,
        value: Value::Text(whole?),
    })
}

fn plain(found: &Node, path: &str, at: Span, findings: &mut Findings) -> Option<String> {
    let text = found.value.plain_text();
    if text.is_none() {
        findings.add(
            Finding::new(
                at,
                format!(
                    "`${{{path}}}` is {}, which cannot stand inside a longer string",
                    found.value.type_name()
                ),
            )
            .hint(format!(
                "`\"${{{path}}}\"` alone becomes the value with its type"
            )),
        );
    }
    text
}

/// The paths of all references in a value, for explaining where a value came from.
pub(super) fn references(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    collect(node, &mut found);
    found
}

fn collect(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::Text(text) => {
            for piece in parse(text).unwrap_or_default() {
                if let Piece::Reference(path) = piece {
                    found.push(path.to_owned());
                }
            }
        }
        Value::List(nodes) => nodes.iter().for_each(|node| collect(node, found)),
        Value::Table(entries) => entries.iter().for_each(|entry| collect(&entry.node, found)),
        _ => {}
    }
}

pub(super) fn split(path: &str) -> Vec<&str> {
    path.split('.').map(str::trim).collect()
}

/// Writes a text so that it means itself.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    Reference(&'a str),
}

fn parse(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        // "$${": what stands before the second `$`, then "${" itself.
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Literal(&rest[..at - 1]));
            pieces.push(Piece::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            pieces.push(Piece::Literal(&rest[..at]));
        }
        let inside = &rest[at + 2..];
        let Some(end) = inside.find('}') else {
            return Err("`${` has no closing `}`".to_owned());
        };
        let path = inside[..end].trim();
        if path
            .split('.')
            .any(|part| !super::names::is_name(part.trim()))
        {
            return Err(format!(
                "`${{{path}}}` is not a reference: expected a name such as `${{seeds}}` or `${{matrix.seed}}`"
            ));
        }
        pieces.push(Piece::Reference(path));
        rest = &inside[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_split_into_pieces() {
        use Piece::{Literal, Reference};
        assert_eq!(parse("plain"), Ok(vec![Literal("plain")]));
        assert_eq!(parse("${a}"), Ok(vec![Reference("a")]));
        assert_eq!(
            parse("x${ a.b }y"),
            Ok(vec![Literal("x"), Reference("a.b"), Literal("y")])
        );
        assert_eq!(
            parse("$${a} ${b}"),
            Ok(vec![
                Literal(""),
                Literal("${"),
                Literal("a} "),
                Reference("b")
            ])
        );
        assert_eq!(parse("${a").unwrap_err(), "`${` has no closing `}`");
        assert!(parse("${}").unwrap_err().contains("is not a reference"));
        assert!(parse("${a b}").unwrap_err().contains("is not a reference"));
    }

    #[test]
    fn an_escaped_text_means_itself() {
        for text in ["${a}", "$${a}", "a$", "$$${", "no"] {
            let escaped = escape(text);
            let back: String = parse(&escaped)
                .unwrap()
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => *text,
                    Piece::Reference(_) => "REFERENCE",
                })
                .collect();
            assert_eq!(back, text, "{escaped}");
        }
    }
}
