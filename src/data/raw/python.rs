//! Python literals: what `repr` writes. Amazon's metadata of 2014 is in this form.
//!
//! Read, never evaluated: a value is a string, a number, `True`, `False`, `None`, a list, a tuple or a dict; anything
//! else is an error with its column. Every input gives a value or an error, in linear time and bounded depth.

/// How deep lists and dicts may stand in one another.
const DEEPEST: usize = 64;

/// A Python value.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string, with or without `u`.
    Text(String),
    /// A list or a tuple.
    List(Vec<Literal>),
    /// A dict, in the order of writing.
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    /// Reads a text that is one literal and nothing else.
    ///
    /// # Errors
    /// Found and expected, with the column (bytes, from 1).
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.wrong("the end of the line"));
        }
        Ok(value)
    }

    /// The value of a text key of a dict; the last one, where it is written twice.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else {
            return None;
        };
        let found = entries
            .iter()
            .rev()
            .find(|(name, _)| matches!(name, Self::Text(name) if name == key));
        found.map(|(_, value)| value)
    }

    /// A string's text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list's values.
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &str) -> String {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!("`{c}`"),
            None => "the end of the line".to_owned(),
        };
        format!(
            "has {found} at column {}, but must have {expected} there",
            self.at + 1
        )
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        if depth > DEEPEST {
            return Err(format!(
                "has brackets that stand more than {DEEPEST} deep at column {}",
                self.at + 1
            ));
        }
        self.space();
        match self.peek() {
            Some(b'\'' | b'"') => self.string().map(Literal::Text),
            Some(b'u' | b'U' | b'b' | b'B') if matches!(self.rest().get(1), Some(b'\'' | b'"')) => {
                self.at += 1;
                self.string().map(Literal::Text)
            }
            Some(b'[') => self.sequence(b']', depth),
            Some(b'(') => self.sequence(b')', depth),
            Some(b'{') => self.dict(depth),
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => self.number(),
            _ => {
                for (word, value) in [
                    ("None", Literal::None),
                    ("True", Literal::Bool(true)),
                    ("False", Literal::Bool(false)),
                ] {
                    if self.rest().starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.wrong("a Python literal"))
            }
        }
    }

    /// After the opening bracket, up to and with the closing one. A tuple of one value (`(1,)`) is a list of one.
    fn sequence(&mut self, close: u8, depth: usize) -> Result<Literal, String> {
        self.at += 1;
        let mut values = Vec::new();
        loop {
            if self.takes(close) {
                return Ok(Literal::List(values));
            }
            values.push(self.value(depth + 1)?);
            if !self.takes(b',') {
                if self.takes(close) {
                    return Ok(Literal::List(values));
                }
                return Err(self.wrong(&format!("`,` or `{}`", char::from(close))));
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Literal, String> {
        self.at += 1;
        let mut entries = Vec::new();
        loop {
            if self.takes(b'}') {
                return Ok(Literal::Dict(entries));
            }
            let key = self.value(depth + 1)?;
            if !self.takes(b':') {
                return Err(self.wrong("`:`"));
            }
            entries.push((key, self.value(depth + 1)?));
            if !self.takes(b',') {
                if self.takes(b'}') {
                    return Ok(Literal::Dict(entries));
                }
                return Err(self.wrong("`,` or `}`"));
            }
        }
    }

    fn number(&mut self) -> Result<Literal, String> {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        let word = &self.text[self.at..self.at + length];
        let Ok(number) = word.parse() else {
            return Err(self.wrong("a number"));
        };
        self.at += length;
        // A long integer of Python 2: `123L`.
        if matches!(self.peek(), Some(b'L' | b'l')) {
            self.at += 1;
        }
        Ok(Literal::Number(number))
    }

    /// A string with its quotes. `\xhh` of a byte above 0x7f is UTF-8 where a run of them is (Python 2 wrote bytes), else
    /// the character of that number (Python 3 writes characters).
    fn string(&mut self) -> Result<String, String> {
        let start = self.at;
        let quote = self.rest()[0];
        self.at += 1;
        let mut out = String::new();
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else {
                self.at = start;
                return Err(format!(
                    "has a quote at column {} without a closing one",
                    start + 1
                ));
            };
            self.at += c.len_utf8();
            if c == '\\' {
                match self.escape()? {
                    Escape::Byte(byte) => bytes.push(byte),
                    Escape::Char(c) => {
                        flush(&mut bytes, &mut out);
                        out.push(c);
                    }
                    Escape::Kept(c) => {
                        flush(&mut bytes, &mut out);
                        out.extend(['\\', c]);
                    }
                    Escape::Nothing => {}
                }
            } else {
                flush(&mut bytes, &mut out);
                if c == char::from(quote) {
                    return Ok(out);
                }
                out.push(c);
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Escape, String> {
        let Some(c) = self.text[self.at..].chars().next() else {
            return Err(self.wrong("a character after `\\`"));
        };
        self.at += c.len_utf8();
        let plain = |c| Ok(Escape::Char(c));
        match c {
            '\n' => Ok(Escape::Nothing),
            '\\' | '\'' | '"' => plain(c),
            'a' => plain('\x07'),
            'b' => plain('\x08'),
            'f' => plain('\x0c'),
            'n' => plain('\n'),
            'r' => plain('\r'),
            't' => plain('\t'),
            'v' => plain('\x0b'),
            'x' => Ok(byte_or_char(self.digits(2, 2, 16)?)),
            'u' => self.unicode(4),
            'U' => self.unicode(8),
            '0'..='7' => {
                self.at -= 1;
                Ok(byte_or_char(self.digits(1, 3, 8)?))
            }
            // As Python does: an unknown escape stays as it is written.
            _ => Ok(Escape::Kept(c)),
        }
    }

    fn unicode(&mut self, length: usize) -> Result<Escape, String> {
        let high = self.digits(length, length, 16)?;
        // A pair of surrogates, as narrow builds of Python 2 wrote characters above U+FFFF.
        if (0xd800..0xdc00).contains(&high) && self.rest().starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.digits(4, 4, 16)?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(Escape::Char(char::from_u32(code).unwrap_or('\u{fffd}')));
            }
            self.at = back;
        }
        Ok(Escape::Char(char::from_u32(high).unwrap_or('\u{fffd}')))
    }

    fn digits(&mut self, least: usize, most: usize, radix: u32) -> Result<u32, String> {
        let digits = self.rest().iter().take(most);
        let digits: Vec<u32> = digits
            .map_while(|&byte| char::from(byte).to_digit(radix))
            .collect();
        if digits.len() < least {
            self.at += digits.len();
            return Err(self.wrong(&format!("a digit of base {radix}")));
        }
        self.at += digits.len();
        Ok(digits
            .into_iter()
            .fold(0, |value, digit| value * radix + digit))
    }
}

enum Escape {
    Byte(u8),
    Char(char),
    Kept(char),
    Nothing,
}

fn byte_or_char(code: u32) -> Escape {
    match u8::try_from(code) {
        Ok(byte @ 0x80..) => Escape::Byte(byte),
        _ => Escape::Char(char::from_u32(code).unwrap_or('\u{fffd}')),
    }
}

fn flush(bytes: &mut Vec<u8>, out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.push_str(text),
        Err(_) => out.extend(bytes.iter().map(|&byte| char::from(byte))),
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(source: &str) -> String {
        let value = Literal::parse(source).unwrap();
        value.text().unwrap().to_owned()
    }

    #[test]
    fn a_line_of_metadata_is_read() {
        let line = r#"{'asin': '7806397051', 'description': "It's \"new\".", 'title': u'Caf\xe9 \u2122', 'price': 12.5, 'related': {'also_bought': ['A', "B"], 'none': []}, 'salesRank': {'Beauty': 938}, 'categories': [['Beauty', 'Makeup', 'Face']], 'x': (1,), 'y': None, 'z': True}"#;
        let value = Literal::parse(line).unwrap();
        assert_eq!(value.get("asin").unwrap().text(), Some("7806397051"));
        assert_eq!(value.get("title").unwrap().text(), Some("Café ™"));
        assert_eq!(
            value.get("description").unwrap().text(),
            Some("It's \"new\".")
        );
        let path = value.get("categories").unwrap().list()[0].list();
        assert_eq!(path[2].text(), Some("Face"));
        assert_eq!(
            value.get("salesRank").unwrap().get("Beauty"),
            Some(&Literal::Number(938.0))
        );
        assert_eq!(
            value.get("x"),
            Some(&Literal::List(vec![Literal::Number(1.0)]))
        );
        assert_eq!(value.get("nothing"), None);
    }

    #[test]
    fn escapes_are_pythons() {
        for (source, expected) in [
            (r"'a\n\t\\\'\x41\101'", "a\n\t\\'AA"),
            (r"'Caf\xc3\xa9'", "Café"),
            (r"'Caf\xe9s'", "Cafés"),
            (r"'\ud83d\ude00 \U0001f600'", "😀 😀"),
            (r"'\q \d'", r"\q \d"),
            ("\"it's\"", "it's"),
        ] {
            assert_eq!(text(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_no_literal_is_refused_with_its_column() {
        for (source, expected) in [
            (
                "{'a': 1",
                "has the end of the line at column 8, but must have `,` or `}` there",
            ),
            ("{'a' 1}", "has `1` at column 6, but must have `:` there"),
            (
                "__import__('os')",
                "has `_` at column 1, but must have a Python literal there",
            ),
            ("[1, 'a]", "has a quote at column 5 without a closing one"),
            (
                "[] []",
                "has `[` at column 4, but must have the end of the line there",
            ),
            (
                r"'\x4'",
                "has `'` at column 5, but must have a digit of base 16 there",
            ),
            ("1-", "has `1` at column 1, but must have a number there"),
            (
                "",
                "has the end of the line at column 1, but must have a Python literal there",
            ),
        ] {
            assert_eq!(Literal::parse(source).unwrap_err(), expected, "{source}");
        }
        let deep = "[".repeat(100_000);
        assert!(Literal::parse(&deep).unwrap_err().contains("deep"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_text_gives_a_value_or_an_error(source in "[\\[\\](){}'\"u,:\\\\xé0-9. NT]{0,40}") {
            let _ = Literal::parse(&source);
        }

        #[test]
        fn strings_come_back(value in "[a-z'\"\\\\ é😀\n]{0,20}") {
            let written: String = value.chars().map(|c| match c {
                '\\' => "\\\\".to_owned(),
                '\'' => "\\'".to_owned(),
                '\n' => "\\n".to_owned(),
                c => c.to_string(),
            }).collect();
            prop_assert_eq!(text(&format!("'{written}'")), value);
        }
    }
}
