package stack

import (
	"net/http"
	"time"
)

// PlatformBackups is what the Management API says of the backups that the platform
// itself has of a project.
type PlatformBackups string

// The plans and settings of a project that decide which backups it has.
const (
	// DailyBackups: a paid plan, with a backup of each of the last seven days.
	DailyBackups PlatformBackups = ""
	// DumpedBackups: the same with dumps, as small projects had before.
	DumpedBackups PlatformBackups = "dumped"
	// PITRBackups: point-in-time recovery, beside which there are no daily backups.
	PITRBackups PlatformBackups = "pitr"
	// NoBackups: the free plan.
	NoBackups PlatformBackups = "none"
	// ForbiddenBackups: the token may not read them.
	ForbiddenBackups PlatformBackups = "forbidden"
)

// SetPlatformBackups chooses which backups the platform has of the project.
func (s *Stack) SetPlatformBackups(backups PlatformBackups) {
	s.management.mu.Lock()
	defer s.management.mu.Unlock()
	s.management.backups = backups
}

// backupRow is a daily backup.
type backupRow struct {
	ID               int    `json:"id"`
	IsPhysicalBackup bool   `json:"is_physical_backup"`
	Status           string `json:"status"`
	InsertedAt       string `json:"inserted_at"`
}

// listBackups lists the daily backups, made at four o'clock, the newest first. The one
// of today failed, so that the newest in the list is not the newest that there is.
func (m *management) listBackups(w http.ResponseWriter, _ *http.Request) error {
	m.mu.Lock()
	kind := m.backups
	m.mu.Unlock()
	type physical struct {
		Earliest int64 `json:"earliest_physical_backup_date_unix,omitempty"`
		Latest   int64 `json:"latest_physical_backup_date_unix,omitempty"`
	}
	list := struct {
		Region             string      `json:"region"`
		WALGEnabled        bool        `json:"walg_enabled"`
		PITREnabled        bool        `json:"pitr_enabled"`
		Backups            []backupRow `json:"backups"`
		PhysicalBackupData physical    `json:"physical_backup_data"`
	}{Region: m.project().Region, Backups: []backupRow{}}
	newest := m.created.UTC().Truncate(24 * time.Hour).Add(4 * time.Hour)
	switch kind {
	case ForbiddenBackups:
		return apiErrorf(http.StatusForbidden, forbiddenMessage)
	case NoBackups:
	case PITRBackups:
		list.WALGEnabled, list.PITREnabled = true, true
		list.PhysicalBackupData = physical{newest.AddDate(0, 0, -8).Unix(), newest.AddDate(0, 0, -1).Unix()}
	case DailyBackups, DumpedBackups:
		list.WALGEnabled = kind == DailyBackups
		for day := range 8 {
			row := backupRow{
				ID: 1000 - day, IsPhysicalBackup: kind == DailyBackups, Status: "COMPLETED",
				InsertedAt: newest.AddDate(0, 0, -day).Format("2006-01-02T15:04:05.000Z"),
			}
			if day == 0 {
				row.Status = "FAILED"
			}
			list.Backups = append(list.Backups, row)
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}
