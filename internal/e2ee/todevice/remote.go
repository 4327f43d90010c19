package todevice

import (
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// Remote hands messages to other servers: server-server API, "Send-to-device messaging".
type Remote interface {
	// Queue adds statements to the commit of a request, by which its messages to users of
	// other servers are sent to these later. It is called again where the commit is tried
	// again. It must neither block nor keep the batch.
	Queue(b *pgx.Batch, m RemoteMessages)
}

// RemoteMessages are the messages of one request to users of other servers.
type RemoteMessages struct {
	Sender, Type string
	// Contents are by user ID and device ID, which is * for all devices of the user.
	Contents map[string]map[string]json.RawMessage
}

func (m *RemoteMessages) size() (bytes int) {
	for userID, byDevice := range m.Contents {
		for deviceID, content := range byDevice {
			bytes += len(userID) + len(deviceID) + len(content) + rowBytes
		}
	}
	return bytes
}
