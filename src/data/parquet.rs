//! Parquet files through polars' eager core: a few typed columns, no nulls.

use super::DataError;
use polars::io::parquet::write::get_encodings;
use polars::prelude::{
    BooleanChunked, Column, CompatLevel, DataFrame, DataType, Float32Chunked, Int64Chunked,
    IntoColumn as _, NewChunkedArray as _, ParquetReader, ParquetWriter, PolarsError, PolarsResult,
    SerReader as _, StatisticsOptions, UInt32Chunked,
};
use polars_parquet::write::{
    CompressedPage, CompressionOptions, ParquetType, Version, WriteOptions, array_to_columns,
    compress,
};
use rayon::prelude::*;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows of a row group. Fixed, so that a file does not depend on the machine.
const ROW_GROUP: usize = 1 << 18;
/// Row groups that are in memory at a time.
const GROUPS: usize = 16;

/// A type that a column can have.
pub trait Cell: Sized + Sync {
    /// The name of the type in messages.
    const NAME: &'static str;
    /// Makes a column.
    fn column(name: &str, values: &[Self]) -> Column;
    /// Takes a column's values, or nothing when its type is another or it has nulls.
    fn values(column: &Column) -> Option<Vec<Self>>;
}

macro_rules! cell {
    ($type:ty, $array:ty, $method:ident, $add:expr) => {
        impl Cell for $type {
            const NAME: &'static str = stringify!($type);

            fn column(name: &str, values: &[Self]) -> Column {
                <$array>::from_slice(name.into(), values).into_column()
            }

            fn values(column: &Column) -> Option<Vec<Self>> {
                let array = column.as_materialized_series().$method().ok()?;
                if array.null_count() > 0 {
                    return None;
                }
                let mut values = Vec::with_capacity(array.len());
                for chunk in array.downcast_iter() {
                    $add(&mut values, chunk.values());
                }
                Some(values)
            }
        }
    };
}

cell!(u32, UInt32Chunked, u32, Vec::extend_from_slice);
cell!(f32, Float32Chunked, f32, Vec::extend_from_slice);
cell!(i64, Int64Chunked, i64, Vec::extend_from_slice);
cell!(bool, BooleanChunked, bool, Vec::extend);

/// Makes some rows of a column.
type Rows<'a> = Box<dyn Fn(Range<usize>) -> Column + Sync + 'a>;

/// Columns to be written.
#[derive(Default)]
pub struct Table<'a> {
    height: usize,
    columns: Vec<Rows<'a>>,
}

impl<'a> Table<'a> {
    /// Adds a column.
    ///
    /// # Panics
    /// When its length is not that of the columns before it.
    #[must_use]
    pub fn with<T: Cell>(mut self, name: &'a str, values: &'a [T]) -> Self {
        assert!(
            self.columns.is_empty() || values.len() == self.height,
            "the column `{name}` has {} rows, but those before it have {}",
            values.len(),
            self.height
        );
        self.height = values.len();
        self.columns
            .push(Box::new(move |rows| T::column(name, &values[rows])));
        self
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let file = std::io::BufWriter::new(fs_err::File::create(path)?);
        self.write_to(file).map_err(|error| broken(path, &error))
    }

    /// Row groups are encoded and compressed on all cores; polars' own writer compresses one page after the other.
    fn write_to(&self, file: impl std::io::Write) -> PolarsResult<()> {
        let options = WriteOptions {
            statistics: StatisticsOptions::default(),
            compression: CompressionOptions::Zstd(None),
            version: Version::V1,
            data_page_size: None,
        };
        let mut writer = ParquetWriter::new(file)
            .with_statistics(options.statistics)
            .batched(self.rows(0..0)?.schema())?;
        let types = writer.parquet_schema().fields().to_vec();
        let starts: Vec<usize> = (0..self.height).step_by(ROW_GROUP).collect();
        for starts in starts.chunks(GROUPS) {
            let groups: Vec<_> = starts
                .par_iter()
                .map(|&start| {
                    let rows = start..self.height.min(start + ROW_GROUP);
                    Ok((
                        rows.len() as u64,
                        pages(&self.rows(rows)?, &types, options)?,
                    ))
                })
                .collect::<PolarsResult<_>>()?;
            for (rows, pages) in groups {
                writer.write_row_group(rows, &pages)?;
            }
        }
        writer.finish()?;
        Ok(())
    }

    fn rows(&self, rows: Range<usize>) -> PolarsResult<DataFrame> {
        let columns = self.columns.iter().map(|make| make(rows.clone())).collect();
        DataFrame::new(rows.len(), columns)
    }
}

/// The compressed pages of each column of a row group.
fn pages(
    frame: &DataFrame,
    types: &[ParquetType],
    options: WriteOptions,
) -> PolarsResult<Vec<Vec<CompressedPage>>> {
    let mut columns = Vec::with_capacity(types.len());
    for batch in frame.iter_chunks(CompatLevel::newest(), false) {
        let encodings = get_encodings(batch.schema());
        for ((array, kind), encodings) in batch.columns().iter().zip(types).zip(encodings.iter()) {
            for pages in array_to_columns(array, kind.clone(), options, encodings)? {
                let pages = pages.map(|page| Ok(compress(page?, Vec::new(), options.compression)?));
                columns.push(pages.collect::<PolarsResult<_>>()?);
            }
        }
    }
    Ok(columns)
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
            .with("left", &[1u32])
            .with("held_out", &[true])
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

    #[test]
    fn row_groups_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        for height in [0, 1, ROW_GROUP, GROUPS * ROW_GROUP + 5] {
            let numbers: Vec<u32> = (0..height as u32).map(|n| n.wrapping_mul(7)).collect();
            let flags: Vec<bool> = numbers.iter().map(|n| n % 3 == 0).collect();
            Table::default()
                .with("n", &numbers)
                .with("flag", &flags)
                .write(&path)
                .unwrap();
            let table = read(&path).unwrap();
            assert_eq!(table.column::<u32>("n").unwrap(), numbers);
            assert_eq!(table.column::<bool>("flag").unwrap(), flags);
        }
    }
}
