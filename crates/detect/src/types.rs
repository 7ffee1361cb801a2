//! A set of data types in two bytes.
use doorward_model::DataType;

/// A set of [`DataType`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TypeSet(u16);

const fn bit(t: DataType) -> u16 {
    1 << t as u16
}

impl TypeSet {
    /// No type.
    pub const NONE: Self = Self(0);

    /// Every type.
    pub fn all() -> Self {
        DataType::ALL.iter().copied().collect()
    }

    /// Whether it holds a type.
    pub const fn contains(self, t: DataType) -> bool {
        self.0 & bit(t) != 0
    }

    /// Adds a type.
    pub const fn insert(&mut self, t: DataType) {
        self.0 |= bit(t);
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the two have a type in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The types of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<DataType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = DataType>>(types: I) -> Self {
        let mut set = Self::NONE;
        for t in types {
            set.insert(t);
        }
        set
    }
}
