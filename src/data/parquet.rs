//! Parquet files through polars' eager core: a few typed columns, no nulls.

use super::DataError;
use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, Float32Chunked, Int64Chunked, IntoColumn as _,
    NewChunkedArray as _, ParquetReader, ParquetWriter, PolarsError, SerReader as _, UInt32Chunked,
};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Rows of a row group. Fixed, so that a file does not depend on the machine.
const ROW_GROUP: usize = 1 << 18;

/// A type that a column can have.
pub trait Cell: Sized {
    /// The name of the type in messages.
    const NAME: &'static str;
    /// Makes a column.
    fn column(name: &str, values: Vec<Self>) -> Column;
    /// Takes a column's values, or nothing when its type is another or it has nulls.
    fn values(column: &Column) -> Option<Vec<Self>>;
}

macro_rules! cell {
    ($type:ty, $array:ty, $method:ident) => {
        impl Cell for $type {
            const NAME: &'static str = stringify!($type);

            fn column(name: &str, values: Vec<Self>) -> Column {
                <$array>::from_slice(name.into(), &values).into_column()
            }

            fn values(column: &Column) -> Option<Vec<Self>> {
                let array = column.as_materialized_series().$method().ok()?;
                array.iter().collect()
            }
        }
    };
}

cell!(u32, UInt32Chunked, u32);
cell!(f32, Float32Chunked, f32);
cell!(i64, Int64Chunked, i64);
cell!(bool, BooleanChunked, bool);

/// Columns to be written.
#[derive(Debug, Default)]
pub struct Table(Vec<Column>);

impl Table {
    /// Adds a column. All columns must have the same length.
    #[must_use]
    pub fn with<T: Cell>(mut self, name: &str, values: Vec<T>) -> Self {
        self.0.push(T::column(name, values));
        self
    }

    /// Writes the file.
    pub fn write(self, path: &Path) -> Result<(), DataError> {
        let height = self.0.first().map_or(0, Column::len);
        let mut frame = DataFrame::new(height, self.0).map_err(|error| broken(path, &error))?;
        let file = fs_err::File::create(path)?;
        ParquetWriter::new(std::io::BufWriter::new(file))
            .with_row_group_size(Some(ROW_GROUP))
            .finish(&mut frame)
            .map_err(|error| broken(path, &error))?;
        Ok(())
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct Columns {
    path: PathBuf,
    frame: DataFrame,
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Columns, DataError> {
    let bytes = fs_err::read(path)?;
    let frame = ParquetReader::new(Cursor::new(bytes))
        .finish()
        .map_err(|error| broken(path, &error))?;
    Ok(Columns {
        path: path.to_owned(),
        frame,
    })
}

impl Columns {
    /// The values of a column.
    pub fn column<T: Cell>(&self, name: &str) -> Result<Vec<T>, DataError> {
        let wrong = |found: String| DataError::Parquet {
            path: self.path.clone(),
            message: format!(
                "must have a column `{name}` of {} without nulls, but {found}",
                T::NAME
            ),
        };
        let Ok(column) = self.frame.column(name) else {
            let names: Vec<String> = self
                .frame
                .get_column_names()
                .into_iter()
                .map(ToString::to_string)
                .collect();
            return Err(wrong(format!("its columns are `{}`", names.join("`, `"))));
        };
        T::values(column).ok_or_else(|| {
            let kind: &DataType = column.dtype();
            wrong(format!("it is {kind} with {} nulls", column.null_count()))
        })
    }
}

fn broken(path: &Path, error: &PolarsError) -> DataError {
    DataError::Parquet {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_the_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let said = |error: DataError| {
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "F")
        };
        Table::default()
            .with("left", vec![1u32])
            .with("held_out", vec![true])
            .write(&path)
            .unwrap();
        let table = read(&path).unwrap();
        assert_eq!(table.column::<bool>("held_out").unwrap(), [true]);
        assert_eq!(
            said(table.column::<u32>("right").unwrap_err()),
            "`F/t.parquet`: must have a column `right` of u32 without nulls, but its columns are `left`, `held_out`"
        );
        assert_eq!(
            said(table.column::<f32>("left").unwrap_err()),
            "`F/t.parquet`: must have a column `left` of f32 without nulls, but it is u32 with 0 nulls"
        );
        fs_err::write(&path, "no parquet").unwrap();
        assert!(said(read(&path).unwrap_err()).starts_with("`F/t.parquet`: "));
    }
}
