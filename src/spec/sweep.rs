//! `--sweep name=value,value`: parameters with several values at once.

use super::LoadOptions;
use super::interpolate::references;
use super::matrix::{Axis, AxisValue, MOST_ARMS, fits_id};
use super::params::{Params, Settings, is_reference};
use super::problem::{Finding, Findings};
use super::source::{Sources, Span};
use super::value::{Node, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A parameter and the values that it takes.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) name: String,
    /// The name in the option.
    pub(super) span: Span,
    values: Vec<AxisValue>,
}

/// For each sweep the position of its value; none where the parameter has the value of the file.
pub(super) type World = Vec<Option<usize>>;

/// The parameters of a file for every combination of swept values.
#[derive(Debug)]
pub(super) struct Sweeps {
    settings: Settings,
    pub(super) list: Vec<Sweep>,
    /// Parameter -> the sweeps that its value depends on.
    reached: BTreeMap<String, BTreeSet<usize>>,
    made: BTreeMap<World, Rc<Params>>,
}

impl Sweeps {
    /// Reads the `--sweep` options.
    pub(super) fn new(
        settings: Settings,
        options: &LoadOptions,
        sources: &mut Sources,
        findings: &mut Findings,
    ) -> Self {
        let mut list: Vec<Sweep> = Vec::new();
        for (name, text) in &options.sweep {
            let start = sources.add("--sweep".into(), format!("{name}={text}"));
            let span = Span::new(start, start + name.len());
            if !settings.is_known("--sweep", name, span, findings) {
                continue;
            }
            if let Some(first) = list.iter().find(|sweep| sweep.name == *name) {
                findings.add(
                    Finding::new(span, format!("--sweep: `{name}` is swept twice"))
                        .related(first.span, "swept here")
                        .hint(format!(
                            "give all values at once: `--sweep {name}=first,second`"
                        )),
                );
                continue;
            }
            if let Some(values) = values(&settings, name, text, span, findings) {
                let name = name.clone();
                list.push(Sweep { name, span, values });
            }
        }
        let worlds = list
            .iter()
            .try_fold(1usize, |count, sweep| count.checked_mul(sweep.values.len()));
        if worlds.is_none_or(|count| count > MOST_ARMS) {
            findings.add(Finding::new(
                list[0].span,
                format!("--sweep: the values have more than {MOST_ARMS} combinations"),
            ));
            list.clear();
        }
        let reached = reached(&settings, &list);
        Self {
            settings,
            list,
            reached,
            made: BTreeMap::new(),
        }
    }

    /// The parameters as the file, profile and `--set` have them.
    pub(super) fn base(&mut self, findings: &mut Findings) -> Rc<Params> {
        self.params(&vec![None; self.list.len()], findings)
    }

    /// The parameters with the values of a world.
    pub(super) fn params(&mut self, world: &World, findings: &mut Findings) -> Rc<Params> {
        if let Some(params) = self.made.get(world) {
            return Rc::clone(params);
        }
        let swept: Vec<(&str, &Node)> = self
            .list
            .iter()
            .zip(world)
            .filter_map(|(sweep, at)| Some((sweep.name.as_str(), &sweep.values[(*at)?].node)))
            .collect();
        let params = Rc::new(self.settings.resolve(&swept, findings));
        self.made.insert(world.clone(), Rc::clone(&params));
        params
    }

    /// Every combination of the values of some sweeps, the last one the fastest.
    pub(super) fn worlds(&self, sweeps: &BTreeSet<usize>) -> Vec<World> {
        let mut worlds = vec![vec![None; self.list.len()]];
        for &sweep in sweeps {
            worlds = worlds
                .iter()
                .flat_map(|world| {
                    (0..self.list[sweep].values.len()).map(move |value| {
                        let mut world = world.clone();
                        world[sweep] = Some(value);
                        world
                    })
                })
                .collect();
        }
        worlds
    }

    /// The axes of a world, with one value each.
    pub(super) fn axes(&self, world: &World) -> Vec<Axis> {
        self.list
            .iter()
            .zip(world)
            .filter_map(|(sweep, at)| {
                let value = sweep.values[(*at)?].clone();
                Some(Axis {
                    name: sweep.name.clone(),
                    span: value.node.span,
                    values: vec![value],
                })
            })
            .collect()
    }

    /// The sweeps that a value depends on through its references.
    pub(super) fn of_node(&self, node: &Node) -> BTreeSet<usize> {
        references(node)
            .iter()
            .filter_map(|path| self.reached.get(first(path)))
            .flatten()
            .copied()
            .collect()
    }
}

fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or(path).trim()
}

/// Follows references between parameters. Parameters that refer to one another in a circle are reported elsewhere.
fn reached(settings: &Settings, list: &[Sweep]) -> BTreeMap<String, BTreeSet<usize>> {
    if list.is_empty() {
        return BTreeMap::new();
    }
    let nodes = settings.effective();
    let uses: BTreeMap<&str, Vec<String>> = nodes
        .iter()
        .map(|(name, node)| (*name, references(node)))
        .collect();
    let mut reached: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (at, sweep) in list.iter().enumerate() {
        reached.entry(sweep.name.clone()).or_default().insert(at);
    }
    // The value of a swept parameter comes from nowhere else.
    let fixed: BTreeSet<&str> = list.iter().map(|sweep| sweep.name.as_str()).collect();
    loop {
        let mut changed = false;
        for (name, paths) in uses.iter().filter(|(name, _)| !fixed.contains(*name)) {
            let found: BTreeSet<usize> = paths
                .iter()
                .filter_map(|path| reached.get(first(path)))
                .flatten()
                .copied()
                .collect();
            let known = reached.entry((*name).to_owned()).or_default();
            let before = known.len();
            known.extend(found);
            changed |= known.len() > before;
        }
        if !changed {
            return reached;
        }
    }
}

/// Reads the values of one option. `None` after a problem.
fn values(
    settings: &Settings,
    name: &str,
    text: &str,
    key: Span,
    findings: &mut Findings,
) -> Option<Vec<AxisValue>> {
    let start = key.end + 1;
    let mut nodes: Vec<Node> = Vec::new();
    let mut right = true;
    for (at, piece) in pieces(text) {
        let start = start + at;
        let span = Span::new(start, start + piece.len());
        if piece.is_empty() {
            let message = if text.is_empty() {
                format!("--sweep: `{name}` has no values")
            } else {
                format!("--sweep: a value of `{name}` is empty")
            };
            // An empty place has no character to point at.
            let span = if text.is_empty() { key } else { span };
            findings.add(
                Finding::new(span, message).hint(format!("write `--sweep {name}=first,second`")),
            );
            right = false;
            continue;
        }
        if let Some((low, high)) = range(piece).filter(|_| !settings.is_text(name)) {
            if low > high || high.saturating_sub(low) >= MOST_ARMS as i128 {
                let message = if low > high {
                    format!("--sweep: the range `{piece}` ends before it begins")
                } else {
                    format!("--sweep: the range `{piece}` has more than {MOST_ARMS} values")
                };
                findings
                    .add(Finding::new(span, message).hint("`1..8` is 1, 2, 3, 4, 5, 6, 7 and 8"));
                right = false;
                continue;
            }
            nodes.extend((low..=high).map(|number| Node {
                span,
                value: Value::Whole(number.into()),
            }));
            continue;
        }
        match settings.read_option("--sweep", name, piece, start, findings) {
            Some(node) => nodes.push(node),
            None => right = false,
        }
    }
    let mut values: Vec<AxisValue> = Vec::new();
    let mut texts = BTreeSet::new();
    for node in nodes {
        let Some(value) = axis_value(settings, name, &node, findings) else {
            right = false;
            continue;
        };
        if !texts.insert(value.text.clone()) {
            let message = format!("--sweep: `{name}` has the value `{}` twice", value.text);
            findings.add(Finding::new(node.span, message));
            right = false;
            continue;
        }
        values.push(value);
    }
    right.then_some(values)
}

fn axis_value(
    settings: &Settings,
    name: &str,
    node: &Node,
    findings: &mut Findings,
) -> Option<AxisValue> {
    if is_reference(node) {
        let message = format!("--sweep: a value of `{name}` cannot refer to parameters");
        findings.add(Finding::new(node.span, message));
        return None;
    }
    if settings.is_list(name) && !matches!(node.value, Value::List(_)) {
        findings.add(
            Finding::new(
                node.span,
                format!(
                    "--sweep: a value of `{name}` is {}, but the parameter is a list",
                    node.value.type_name()
                ),
            )
            .hint(format!(
                "each value is a list of its own: `--sweep '{name}=[…],[…]'`"
            )),
        );
        return None;
    }
    let node = settings.fit("--sweep", name, node, findings)?;
    let text = id_text(&node.value).filter(|text| fits_id(text));
    let Some(text) = text else {
        findings.add(
            Finding::new(
                node.span,
                format!(
                    "--sweep: {} cannot be a value of the axis `{name}`: it is part of the id",
                    node.shown()
                ),
            )
            .hint("tables, lists of lists, and texts with brackets, commas, `=`, `*` or outer spaces have no place in an id"),
        );
        return None;
    };
    Some(AxisValue {
        text,
        node,
        fields: None,
    })
}

/// The text of a value in an id: of a list its elements joined by `+`.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::List(nodes) if nodes.is_empty() => Some("empty".to_owned()),
        Value::List(nodes) => {
            let texts: Option<Vec<String>> =
                nodes.iter().map(|node| node.value.plain_text()).collect();
            Some(texts?.join("+"))
        }
        plain => plain.plain_text(),
    }
}

/// Cuts at the commas that are in no quotes, brackets or braces; each piece without outer spaces, with its place.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut cuts = Vec::new();
    let mut depth = 0usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' => quote = Some(c),
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => cuts.push(at),
                _ => {}
            },
        }
    }
    let starts = std::iter::once(0).chain(cuts.iter().map(|cut| cut + 1));
    let ends = cuts.iter().copied().chain([text.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| {
            let piece = &text[start..end];
            let spaces = piece.len() - piece.trim_start().len();
            (start + spaces, piece.trim())
        })
        .collect()
}

/// Reads `1..8`: both ends are values.
fn range(piece: &str) -> Option<(i128, i128)> {
    let (low, high) = piece.split_once("..")?;
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_at_outer_commas() {
        let cut = |text| {
            let pieces: Vec<&str> = pieces(text).into_iter().map(|(_, piece)| piece).collect();
            pieces
        };
        assert_eq!(cut("1,2, 4"), ["1", "2", "4"]);
        assert_eq!(cut(r#"["a","b"],["c"]"#), [r#"["a","b"]"#, r#"["c"]"#]);
        assert_eq!(cut(r#""a,\",b",'x,y'"#), [r#""a,\",b""#, "'x,y'"]);
        assert_eq!(cut("a,,b"), ["a", "", "b"]);
        assert_eq!(cut(""), [""]);
        assert_eq!(pieces("1, 22"), [(0, "1"), (3, "22")]);
    }

    #[test]
    fn ranges_have_both_ends() {
        assert_eq!(range("1..8"), Some((1, 8)));
        assert_eq!(range("-2..2"), Some((-2, 2)));
        for text in ["1", "1.5", "1...8", "a..b", "..", "1.."] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
