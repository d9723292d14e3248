//! What a rule names: verbs (`svc.restart`, `db.*`) and resources (`svc:shop/web`, `svc:shop/*`, `svc:shop/**`).
//!
//! A pattern is compiled once and then only compared. Three questions are asked of it: does it match one name, does it
//! cover another pattern whole (attenuation), and do two patterns share any name at all (an `ask` inside an `allow`).

use std::fmt;

/// Longest verb or resource: what fits one line of a card and one ledger leaf many times over.
pub const MAX_NAME: usize = 256;
/// Most segments of a resource: deeper paths are files inside a workspace, which no rule names one by one.
pub const MAX_SEGMENTS: usize = 16;

/// Why a text is not a verb, a resource or a pattern of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern {
    pub text: String,
    pub reason: &'static str,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.text, self.reason)
    }
}

impl std::error::Error for BadPattern {}

fn bad(text: &str, reason: &'static str) -> BadPattern {
    // A hostile name may be long; the refusal repeats only as much as tells the reader which one it was.
    BadPattern {
        text: text.chars().take(80).collect(),
        reason,
    }
}

/// `*`, a family `db.*`, or one verb.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VerbPattern {
    Any,
    /// Holds the prefix with its dot: `db.`.
    Family(Box<str>),
    Exact(Box<str>),
}

fn is_verb(text: &str) -> bool {
    text.len() <= MAX_NAME && text.contains('.') && text.split('.').all(is_word)
}

fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Refuses anything but one verb such as `svc.restart`.
pub fn check_verb(text: &str) -> Result<(), BadPattern> {
    if is_verb(text) {
        return Ok(());
    }
    Err(bad(
        text,
        "a verb is lower-case words joined by dots, such as svc.restart",
    ))
}

impl VerbPattern {
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(head) = text.strip_suffix(".*") {
            if head.len() <= MAX_NAME && head.split('.').all(is_word) {
                return Ok(Self::Family(format!("{head}.").into()));
            }
        } else if is_verb(text) {
            return Ok(Self::Exact(text.into()));
        }
        Err(bad(
            text,
            "a verb is lower-case words joined by dots, such as svc.restart, or a family such as db.*",
        ))
    }

    pub fn matches(&self, verb: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Family(prefix) => verb.starts_with(&**prefix),
            Self::Exact(exact) => &**exact == verb,
        }
    }

    /// True if every verb of `other` is one of this pattern's.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Family(mine), Self::Family(theirs) | Self::Exact(theirs)) => {
                theirs.starts_with(&**mine)
            }
            (Self::Exact(mine), Self::Exact(theirs)) => mine == theirs,
            _ => false,
        }
    }

    /// Two verb patterns share a name only if one holds the other: families are prefixes.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

impl fmt::Display for VerbPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Family(prefix) => write!(f, "{prefix}*"),
            Self::Exact(exact) => f.write_str(exact),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Any,
    Exact(Box<str>),
}

impl Segment {
    fn covers(&self, other: &Self) -> bool {
        *self == Self::Any || self == other
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => &**exact == name,
        }
    }
}

/// `**` (everything), or a kind and segments; `*` is one whole segment, a last `**` is the place itself and all below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourcePattern {
    /// With its colon (`svc:`); None is everything.
    kind: Option<Box<str>>,
    segments: Box<[Segment]>,
    deep: bool,
}

const RESOURCE_RULE: &str =
    "a resource is kind:name/name of ASCII letters, digits and . _ - @ + = ~, such as svc:shop/web";

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@+=~".contains(&b))
}

fn split(text: &str) -> Result<(&str, &str), BadPattern> {
    let colon = text.find(':').ok_or_else(|| bad(text, RESOURCE_RULE))?;
    let (kind, rest) = text.split_at(colon + 1);
    let word = &kind[..colon];
    let fits = word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits || rest.is_empty() || text.len() > MAX_NAME || rest.split('/').count() > MAX_SEGMENTS {
        return Err(bad(text, RESOURCE_RULE));
    }
    Ok((kind, rest))
}

/// Refuses anything but the name of one resource.
pub fn check_resource(text: &str) -> Result<(), BadPattern> {
    let (_, rest) = split(text)?;
    if rest.split('/').all(is_segment) {
        return Ok(());
    }
    Err(bad(text, RESOURCE_RULE))
}

impl ResourcePattern {
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text == "**" {
            return Ok(Self {
                kind: None,
                segments: Box::new([]),
                deep: true,
            });
        }
        let (kind, rest) = split(text)?;
        let mut names: Vec<&str> = rest.split('/').collect();
        let deep = names.last() == Some(&"**");
        if deep {
            names.pop();
        }
        let mut segments = Vec::with_capacity(names.len());
        for name in names {
            segments.push(match name {
                "*" => Segment::Any,
                exact if is_segment(exact) => Segment::Exact(exact.into()),
                _ => return Err(bad(text, "`*` stands for one whole segment and `**` only at the end, as in svc:shop/**")),
            });
        }
        Ok(Self {
            kind: Some(kind.into()),
            segments: segments.into(),
            deep,
        })
    }

    /// `resource` must have passed [`check_resource`]; anything else matches nothing but `**`.
    pub fn matches(&self, resource: &str) -> bool {
        let Some(kind) = &self.kind else { return true };
        let Some(rest) = resource.strip_prefix(&**kind) else {
            return false;
        };
        let mut names = rest.split('/');
        for segment in &self.segments {
            match names.next() {
                Some(name) if segment.matches(name) => {}
                _ => return false,
            }
        }
        self.deep || names.next().is_none()
    }

    /// True if every resource of `other` is one of this pattern's.
    pub fn covers(&self, other: &Self) -> bool {
        if self.kind.is_none() {
            return true;
        }
        if self.kind != other.kind || other.segments.len() < self.segments.len() {
            return false;
        }
        let longer = other.deep || other.segments.len() > self.segments.len();
        self.segments
            .iter()
            .zip(&other.segments)
            .all(|(mine, theirs)| mine.covers(theirs))
            && (self.deep || !longer)
    }

    /// True if some resource is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.kind.is_none() || other.kind.is_none() {
            return true;
        }
        let (mine, theirs) = (self.segments.len(), other.segments.len());
        let lengths_meet =
            mine == theirs || (mine < theirs && self.deep) || (theirs < mine && other.deep);
        self.kind == other.kind
            && lengths_meet
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(a, b)| a.overlaps(b))
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(kind) = &self.kind else {
            return f.write_str("**");
        };
        f.write_str(kind)?;
        let mut slash = "";
        for segment in &self.segments {
            match segment {
                Segment::Any => write!(f, "{slash}*")?,
                Segment::Exact(exact) => write!(f, "{slash}{exact}")?,
            }
            slash = "/";
        }
        if self.deep {
            write!(f, "{slash}**")
        } else {
            Ok(())
        }
    }
}
