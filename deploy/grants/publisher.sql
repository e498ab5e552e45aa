-- publisher: people and scripts that register frames, publish, cancel and rescue.
-- Run as an administrator of MySQL 8 or MariaDB 10.11, after `tianyu init` has made the tables and
-- again after each upgrade; see README.md beside this file for name, password and database.

CREATE USER IF NOT EXISTS 'tianyu_publisher'@'%' IDENTIFIED BY 'CHANGE-ME';

-- No rows of photometry, no attempts, no DELETE of anything that was measured.

GRANT SELECT ON `tianyu`.* TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.site TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.hardware_group TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.queue TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.run TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.process TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.dependency TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.instrument TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.optical_filter TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.target TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.sky TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.observation TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.observation_target TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.reduction TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.image TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.image_copy TO 'tianyu_publisher'@'%';
GRANT INSERT ON `tianyu`.frame_override TO 'tianyu_publisher'@'%';
GRANT UPDATE ON `tianyu`.process TO 'tianyu_publisher'@'%';
GRANT UPDATE ON `tianyu`.site TO 'tianyu_publisher'@'%';
GRANT UPDATE ON `tianyu`.instrument TO 'tianyu_publisher'@'%';
GRANT UPDATE ON `tianyu`.target TO 'tianyu_publisher'@'%';
GRANT UPDATE ON `tianyu`.sky TO 'tianyu_publisher'@'%';
GRANT UPDATE ON `tianyu`.observation TO 'tianyu_publisher'@'%';
GRANT UPDATE (scale) ON `tianyu`.flux_level TO 'tianyu_publisher'@'%';
GRANT DELETE ON `tianyu`.observation_target TO 'tianyu_publisher'@'%';
