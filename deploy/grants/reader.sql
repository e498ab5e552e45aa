-- reader: looks: every question of the command line, light curves, notebooks.
-- Run as an administrator of MySQL 8 or MariaDB 10.11, after `tianyu init` has made the tables and
-- again after each upgrade; see README.md beside this file for name, password and database.

CREATE USER IF NOT EXISTS 'tianyu_reader'@'%' IDENTIFIED BY 'CHANGE-ME';

GRANT SELECT, SHOW VIEW ON `tianyu`.* TO 'tianyu_reader'@'%';
