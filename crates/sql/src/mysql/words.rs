//! Words of the grammar.
//!
//! A name without quotes is taken for a name unless it is in [`RESERVED`]. What is forwarded has quotes round
//! every name, so a list that is too short or too long refuses or accepts more, but never reads otherwise
//! than the server will.
use super::Upstream;

/// Reserved by both makes in all versions, or needed to tell where a clause begins.
const RESERVED: &str = " ACCESSIBLE ADD ALL ALTER ANALYZE AND AS ASC ASENSITIVE BEFORE BETWEEN BIGINT BINARY BLOB BOTH BY \
CALL CASCADE CASE CHANGE CHAR CHARACTER CHECK COLLATE COLUMN CONDITION CONSTRAINT CONTINUE CONVERT CREATE CROSS \
CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASE DATABASES DAY_HOUR DAY_MICROSECOND DAY_MINUTE \
DAY_SECOND DEC DECIMAL DECLARE DEFAULT DELAYED DELETE DESC DESCRIBE DETERMINISTIC DISTINCT DISTINCTROW DIV DOUBLE DROP \
DUAL EACH ELSE ELSEIF ENCLOSED ESCAPED EXCEPT EXISTS EXIT EXPLAIN FALSE FETCH FLOAT FLOAT4 FLOAT8 FOR FORCE FOREIGN FROM \
FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE HOUR_SECOND IF IGNORE IN INDEX INFILE INNER INOUT \
INSENSITIVE INSERT INT INT1 INT2 INT3 INT4 INT8 INTEGER INTERSECT INTERVAL INTO IS ITERATE JOIN KEY KEYS KILL LATERAL \
LEADING LEAVE LEFT LIKE LIMIT LINEAR LINES LOAD LOCALTIME LOCALTIMESTAMP LOCK LONG LONGBLOB LONGTEXT LOOP LOW_PRIORITY \
MATCH MAXVALUE MEDIUMBLOB MEDIUMINT MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND MINUTE_SECOND MOD MODIFIES NATURAL NOT \
NO_WRITE_TO_BINLOG NULL NUMERIC ON OPTIMIZE OPTION OPTIONALLY OR ORDER OUT OUTER OUTFILE OVER PARTITION PRECISION PRIMARY \
PROCEDURE PURGE RANGE READ READS READ_WRITE REAL REFERENCES REGEXP RELEASE RENAME REPEAT REPLACE REQUIRE RESIGNAL RESTRICT \
RETURN REVOKE RIGHT RLIKE SCHEMA SCHEMAS SECOND_MICROSECOND SELECT SENSITIVE SEPARATOR SET SHOW SIGNAL SMALLINT SPATIAL \
SPECIFIC SQL SQLEXCEPTION SQLSTATE SQLWARNING SQL_BIG_RESULT SQL_CALC_FOUND_ROWS SQL_SMALL_RESULT SSL STARTING \
STRAIGHT_JOIN TABLE TERMINATED THEN TINYBLOB TINYINT TINYTEXT TO TRAILING TRIGGER TRUE UNDO UNION UNIQUE UNLOCK UNSIGNED \
UPDATE USAGE USE USING UTC_DATE UTC_TIME UTC_TIMESTAMP VALUES VARBINARY VARCHAR VARCHARACTER VARYING WHEN WHERE WHILE \
WINDOW WITH WRITE XOR YEAR_MONTH ZEROFILL ";

const RESERVED_MARIADB: &str = " CURRENT_ROLE DO_DOMAIN_IDS IGNORE_DOMAIN_IDS OFFSET RETURNING ROWS STATS_AUTO_RECALC ";
const RESERVED_MYSQL: &str = " JSON_TABLE OF ROW ROWS ";

/// Functions only where `(` follows at once, unless the mode is `IGNORE_SPACE` (`SYM_FN` in the server's `lex.h`).
const CALLED: &str = " ADDDATE BIT_AND BIT_OR BIT_XOR CAST COUNT CURDATE CURTIME DATE_ADD DATE_SUB DATE_FORMAT EXTRACT \
GROUP_CONCAT JSON_ARRAYAGG JSON_OBJECTAGG MAX MEDIAN MID MIN NOW POSITION PERCENTILE_CONT PERCENTILE_DISC SESSION_USER STD STDDEV \
STDDEV_POP STDDEV_SAMP ST_COLLECT SUBDATE SUBSTR SUBSTRING SUM SYSDATE SYSTEM_USER TRIM VARIANCE VAR_POP VAR_SAMP ";

/// Functions that the grammar knows although their names are reserved.
const RESERVED_FUNCTIONS: &str = " CHAR CONVERT DATABASE DEFAULT IF INSERT INTERVAL LEFT LOCALTIME LOCALTIMESTAMP MATCH MOD \
REPEAT REPLACE RIGHT SCHEMA VALUES UTC_DATE UTC_TIME UTC_TIMESTAMP CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP \
CURRENT_USER CURRENT_ROLE ROW ";

/// Functions that need no parentheses.
const BARE: &str = " CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_ROLE LOCALTIME LOCALTIMESTAMP UTC_DATE \
UTC_TIME UTC_TIMESTAMP ";

const CHARSETS: &str = " ARMSCII8 ASCII BIG5 BINARY CP1250 CP1251 CP1256 CP1257 CP850 CP852 CP866 CP932 DEC8 EUCJPMS EUCKR \
FILENAME GB18030 GB2312 GBK GEOSTD8 GREEK HEBREW HP8 KEYBCS2 KOI8R KOI8U LATIN1 LATIN2 LATIN5 LATIN7 MACCE MACROMAN SJIS \
SWE7 TIS620 UCS2 UJIS UTF16 UTF16LE UTF32 UTF8 UTF8MB3 UTF8MB4 ";

/// Units of INTERVAL and its kin.
const UNITS: &str = " MICROSECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR SECOND_MICROSECOND MINUTE_MICROSECOND \
MINUTE_SECOND HOUR_MICROSECOND HOUR_SECOND HOUR_MINUTE DAY_MICROSECOND DAY_SECOND DAY_MINUTE DAY_HOUR YEAR_MONTH \
SQL_TSI_SECOND SQL_TSI_MINUTE SQL_TSI_HOUR SQL_TSI_DAY SQL_TSI_WEEK SQL_TSI_MONTH SQL_TSI_QUARTER SQL_TSI_YEAR ";

/// Whether a word stands in a list, whatever its case.
pub(super) fn listed(list: &str, word: &[u8]) -> bool {
    let mut upper = [0u8; 34];
    let Some(room) = upper.get_mut(..word.len() + 2).filter(|_| word.len() <= 32 && !word.is_empty()) else {
        return false;
    };
    room.fill(b' ');
    for (to, from) in room.iter_mut().skip(1).zip(word) {
        *to = from.to_ascii_uppercase();
    }
    let wanted = std::str::from_utf8(room).unwrap_or("  ");
    list.contains(wanted)
}

/// Whether a word cannot be a name without quotes.
pub(super) fn reserved(word: &[u8], upstream: Upstream) -> bool {
    let own = if upstream.is_mariadb() { RESERVED_MARIADB } else { RESERVED_MYSQL };
    RESERVED_SET.contains(word) || listed(own, word)
}

/// [`RESERVED`], by a hash of the word: every name of every text is looked up here.
static RESERVED_SET: std::sync::LazyLock<Words> = std::sync::LazyLock::new(|| Words::new(RESERVED));

/// A set of words that knows no case.
#[derive(Debug)]
pub(super) struct Words(ahash::AHashSet<Box<[u8]>>);

impl Words {
    pub(super) fn new(list: &str) -> Self {
        Self(list.split_ascii_whitespace().map(|w| w.to_ascii_uppercase().into_bytes().into_boxed_slice()).collect())
    }

    pub(super) fn contains(&self, word: &[u8]) -> bool {
        let mut upper = [0u8; 64];
        let Some(room) = upper.get_mut(..word.len()) else { return false };
        for (to, from) in room.iter_mut().zip(word) {
            *to = from.to_ascii_uppercase();
        }
        self.0.contains(&*room)
    }
}

pub(super) fn called(word: &[u8]) -> bool {
    listed(CALLED, word)
}

pub(super) fn reserved_function(word: &[u8]) -> bool {
    listed(RESERVED_FUNCTIONS, word)
}

/// `CURRENT_ROLE` is one to MariaDB alone: to MySQL it is a column.
pub(super) fn bare_function(word: &[u8], is_mariadb: bool) -> bool {
    listed(BARE, word) && (is_mariadb || !word.eq_ignore_ascii_case(b"CURRENT_ROLE"))
}

pub(super) fn unit(word: &[u8]) -> bool {
    listed(UNITS, word)
}

/// Whether `_name` before a literal says its character set.
pub(super) fn introducer(word: &[u8]) -> bool {
    word.strip_prefix(b"_").is_some_and(|name| listed(CHARSETS, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let mysql = Upstream::default();
        assert!(reserved(b"select", mysql) && reserved(b"ZEROFILL", mysql) && reserved(b"Accessible", mysql));
        assert!(!reserved(b"name", mysql) && !reserved(b"", mysql) && !reserved(b"SEL", mysql));
        assert!(!reserved(b"offset", mysql) && introducer(b"_utf8mb4") && !introducer(b"_x") && !introducer(b"utf8"));
        assert!(called(b"count") && unit(b"day") && !unit(b"days"));
    }
}
