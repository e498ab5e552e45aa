-- manager: moves processes between states; sees nothing of the survey.
-- Run as an administrator of MySQL 8 or MariaDB 10.11, after `tianyu init` has made the tables and
-- again after each upgrade; see README.md beside this file for name, password and database.

CREATE USER IF NOT EXISTS 'tianyu_manager'@'%' IDENTIFIED BY 'CHANGE-ME';

GRANT SELECT ON `tianyu`.alembic_version TO 'tianyu_manager'@'%';
GRANT SELECT ON `tianyu`.site TO 'tianyu_manager'@'%';
GRANT SELECT ON `tianyu`.hardware_group TO 'tianyu_manager'@'%';
GRANT SELECT ON `tianyu`.queue TO 'tianyu_manager'@'%';
GRANT SELECT ON `tianyu`.worker TO 'tianyu_manager'@'%';
GRANT SELECT ON `tianyu`.dependency TO 'tianyu_manager'@'%';
GRANT SELECT ON `tianyu`.process TO 'tianyu_manager'@'%';
GRANT UPDATE ON `tianyu`.process TO 'tianyu_manager'@'%';
GRANT UPDATE ON `tianyu`.worker TO 'tianyu_manager'@'%';
GRANT INSERT ON `tianyu`.attempt TO 'tianyu_manager'@'%';
