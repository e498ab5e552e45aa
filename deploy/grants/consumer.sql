-- consumer: runs steps: reads everything, adds products, moves its own processes.
-- Run as an administrator of MySQL 8 or MariaDB 10.11, after `tianyu init` has made the tables and
-- again after each upgrade; see README.md beside this file for name, password and database.

CREATE USER IF NOT EXISTS 'tianyu_consumer'@'%' IDENTIFIED BY 'CHANGE-ME';

-- It publishes nothing (no INSERT into run, process, dependency) and deletes nothing but
-- catalogue matches that newer ones replace: what was measured stays, whatever becomes of one
-- machine of the survey.

GRANT SELECT ON `tianyu`.* TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.worker TO 'tianyu_consumer'@'%';
GRANT UPDATE ON `tianyu`.worker TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.hardware_group TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.queue TO 'tianyu_consumer'@'%';
GRANT UPDATE ON `tianyu`.process TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.attempt TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.image TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.image_copy TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.reference_frame TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.frame TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.frame_verdict TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.sky_mesh TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.stack TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.source TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.source_position TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.cross_match TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.source_photometry TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.aperture TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.aperture_ellipse TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.flux TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.relative_flux TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.flux_level TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.stack_epoch TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.stack_flux TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.stack_relative_flux TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.zero_point TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.magnitude_scale TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.magnitude TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.sky_wcs TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.reference_group TO 'tianyu_consumer'@'%';
GRANT INSERT ON `tianyu`.reference_member TO 'tianyu_consumer'@'%';
GRANT UPDATE (current_run_id) ON `tianyu`.observation TO 'tianyu_consumer'@'%';
GRANT UPDATE (template_image_id) ON `tianyu`.sky TO 'tianyu_consumer'@'%';
GRANT UPDATE (template_image_id, notes) ON `tianyu`.reduction TO 'tianyu_consumer'@'%';
GRANT UPDATE (target_id) ON `tianyu`.source TO 'tianyu_consumer'@'%';
GRANT UPDATE (scale) ON `tianyu`.flux_level TO 'tianyu_consumer'@'%';
GRANT UPDATE (limits) ON `tianyu`.reference_frame TO 'tianyu_consumer'@'%';
GRANT UPDATE (problem) ON `tianyu`.frame TO 'tianyu_consumer'@'%';
GRANT UPDATE (is_good, reason) ON `tianyu`.frame_verdict TO 'tianyu_consumer'@'%';
GRANT DELETE ON `tianyu`.cross_match TO 'tianyu_consumer'@'%';
