//! Parameters and what owns them.

use super::{Backend, Matrix};

/// A named array of numbers that training may change.
#[derive(Debug)]
pub struct Param<D: Backend> {
    /// The numbers; a vector is held as `[1, d]`.
    pub value: Matrix<D>,
    /// Saved with one axis. Vectors (biases, norms, scalars) are not decayed by AdamW.
    pub vector: bool,
}

impl<D: Backend> Param<D> {
    /// Makes a trainable parameter saved with two axes.
    pub fn matrix(mut value: Matrix<D>) -> Self {
        value.set_constant(false);
        Self {
            value,
            vector: false,
        }
    }

    /// Makes a trainable parameter that is held as `[1, d]` and saved as `[d]`.
    ///
    /// # Panics
    /// When `value` has more than one row.
    pub fn vector(mut value: Matrix<D>) -> Self {
        assert_eq!(value.rows(), 1, "a vector has one row");
        value.set_constant(false);
        Self {
            value,
            vector: true,
        }
    }

    /// Whether training changes it. A frozen parameter costs no backward work.
    pub fn trainable(&self) -> bool {
        !self.value.is_constant()
    }

    /// Freezes or thaws it.
    pub fn set_trainable(&mut self, trainable: bool) {
        self.value.set_constant(!trainable);
    }

    /// The shape in files: `[d]` or `[rows, columns]`.
    pub fn saved_shape(&self) -> Vec<usize> {
        let (rows, columns) = self.value.shape();
        if self.vector {
            vec![columns]
        } else {
            vec![rows, columns]
        }
    }
}

/// Something made of named parameters: a layer or a whole model.
///
/// Both visits must give the same parameters in the same order, each exactly once (a tied weight belongs to one owner), under
/// `prefix` joined with the local name by [`join`]. The names are the names in weight files.
pub trait Module<D: Backend> {
    /// Calls `f` with the name of each parameter and the parameter.
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>));

    /// Calls `f` with the name of each parameter and the parameter, to change it.
    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>));
}

impl<D: Backend> Module<D> for Param<D> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        f(prefix, self);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        f(prefix, self);
    }
}

/// A list of modules: the names are `prefix.0…`, `prefix.1…`.
impl<D: Backend, M: Module<D>> Module<D> for Vec<M> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        for (index, module) in self.iter().enumerate() {
            module.visit(&join(prefix, &index.to_string()), f);
        }
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        for (index, module) in self.iter_mut().enumerate() {
            module.visit_mut(&join(prefix, &index.to_string()), f);
        }
    }
}

/// A module elsewhere in memory.
impl<D: Backend, M: Module<D>> Module<D> for Box<M> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        (**self).visit(prefix, f);
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        (**self).visit_mut(prefix, f);
    }
}

/// A module that may be absent, for instance a bias.
impl<D: Backend, M: Module<D>> Module<D> for Option<M> {
    fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &Param<D>)) {
        if let Some(module) = self {
            module.visit(prefix, f);
        }
    }

    fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Param<D>)) {
        if let Some(module) = self {
            module.visit_mut(prefix, f);
        }
    }
}

/// Joins a prefix and a local name with a dot; where one is empty, it is the other alone.
pub fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() || name.is_empty() {
        format!("{prefix}{name}")
    } else {
        format!("{prefix}.{name}")
    }
}

/// Implements [`Module`] for a struct generic over its device by listing fields with their names in weight files.
///
/// ```text
/// module!(Block { norm: "input_layernorm", up: "mlp.up_proj" });
/// ```
#[macro_export]
macro_rules! module {
    ($type:ident { $($field:ident : $name:literal),+ $(,)? }) => {
        impl<D: $crate::nn::Backend> $crate::nn::Module<D> for $type<D> {
            fn visit(&self, prefix: &str, f: &mut dyn FnMut(&str, &$crate::nn::Param<D>)) {
                $($crate::nn::Module::visit(&self.$field, &$crate::nn::join(prefix, $name), f);)+
            }

            fn visit_mut(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut $crate::nn::Param<D>)) {
                $($crate::nn::Module::visit_mut(&mut self.$field, &$crate::nn::join(prefix, $name), f);)+
            }
        }
    };
}

/// Freezes or thaws every parameter of a module.
pub fn set_trainable<D: Backend, M: Module<D> + ?Sized>(module: &mut M, trainable: bool) {
    module.visit_mut("", &mut |_, param| param.set_trainable(trainable));
}

/// Counts the numbers of a module: all, and those that training changes.
pub fn count<D: Backend, M: Module<D> + ?Sized>(module: &M) -> (usize, usize) {
    let (mut all, mut trainable) = (0, 0);
    module.visit("", &mut |_, param| {
        let (rows, columns) = param.value.shape();
        all += rows * columns;
        if param.trainable() {
            trainable += rows * columns;
        }
    });
    (all, trainable)
}
