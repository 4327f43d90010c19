package media

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// onBoth are the tests of the service that are run on a bucket too; by themselves, they
// run on a folder. What is not here doesn't touch the storage, or says itself where it
// runs.
var onBoth = []func(*testing.T){
	TestUploadAndDownload, TestUploadOfNothingAtAll, TestUploadOfUnknownLength,
	TestSameContentIsKeptOnce, TestSameContentAtTheSameTime, TestSizeIsLimited, TestQuota,
	TestQuotaHoldsForUploadsAtTheSameTime, TestBrokenUploadLeavesNothing,
	TestDatabaseThatFailsLeavesNothing, TestCreateAndUploadLater, TestUploadToWhatWasNotCreated,
	TestTwoUploadsToOneID, TestUploadThatComesTooLate, TestAnnouncedUploadsAreLimited,
	TestDownloadOfWhatThereIsNot, TestDownloadWaitsForTheUpload, TestDownloadFindsWhatCameElsewhere,
	TestFileThatIsGone,
	TestKilledBeforeTheRecord, TestUploadOfWhatIsBeingRemoved, TestCleaningLeavesUploadsAlone,
	TestFailedUploadLeavesTheSameOfOthers, TestStartCleans, TestKeysAreMadeOfHashes,
	TestThumbnailSizes, TestThumbnailShowsTheRightPart, TestThumbnailOfEachFormat,
	TestThumbnailIsTurnedUpright, TestAnimatedThumbnail, TestStillOfAnimation,
	TestFramesThatBuildOnEachOther, TestNoThumbnailOfBombs, TestNoThumbnailOfBrokenFiles,
	TestThumbnailIsMadeOnce, TestEverNewSizesMadeEverNewThumbnails, TestThumbnailETags,
	TestThreeProcesses, TestProcessesKeepTheSameContentOnce, TestProcessesShareQuotasAndLimits,
	TestProcessesShareThumbnails, TestThumbnailThatIsGone, TestFileThatIsGoneComesBackByUploading,
	TestBackupAndRestore, TestPutOfWhatIsDamaged, TestOnlyUnreferencedFilesAreRemoved,
}

// TestOnABucket runs the tests of the service once more, on a bucket: newEnv sees
// that by their names.
func TestOnABucket(t *testing.T) {
	t.Parallel()
	for _, test := range onBoth {
		name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
		t.Run(name[strings.LastIndex(name, ".Test")+1:], test)
	}
}
