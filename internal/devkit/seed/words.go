package seed

import "strings"

// What names and sentences are made of.
var (
	firstNames = strings.Fields(`
		Ada Adam Aisha Alan Alice Amara Ana Anton Ben Bianca Bilal Bob Carla Carlos Chen Chloe Clara Dan Daria David Dina Ella
		Elias Emil Emma Eva Farid Finn Flora Gabriel Grace Hana Hugo Ida Igor Ines Ivan Jan Jana Jonas Julia Kai Karim Kim Lara
		Leila Leo Lin Lucia Luis Maja Marco Maria Max Mei Mia Milan Mina Nadia Nina Noah Nora Olga Omar Oscar Paul Petra Priya
		Rafael Ravi Rosa Ruth Sami Sara Sofia Sven Tara Theo Tom Uma Vera Viktor Wanda Yara Yusuf Zoe`)
	lastNames = strings.Fields(`
		Abe Adams Ahmed Alvarez Andersen Bauer Becker Berg Bianchi Brown Castro Chen Costa Diaz Dubois Eriksen Fischer Fontaine
		Garcia Gomez Gruber Hansen Haas Ibrahim Ito Jensen Johnson Kaya Keller Khan Kim Klein Kovacs Lang Larsen Lee Lopez Maier
		Marino Meyer Miller Mori Moreau Murphy Nagy Novak Okafor Olsen Patel Perez Petrov Popescu Reyes Rossi Roy Santos Sato
		Schmid Silva Singh Smith Suzuki Tanaka Torres Varga Virtanen Wagner Walker Weber Wilson Wong Yilmaz Young Zhang`)
	adjectives = strings.Fields(`
		Blue Brave Bright Calm Clever Curious Early Gentle Golden Green Happy Hidden Kind Late Little Lively Loud New Northern Old
		Open Patient Quick Quiet Red Rural Silent Silver Simple Small Southern Strange Sunny Urban Warm Wild Wooden Young`)
	nouns = strings.Fields(`
		Allotment Archive Bakery Balcony Bicycles Books Bridge Cafe Chess Choir Cinema Cooking Crafts Dance Design Editors Energy
		Garden Harbour Hiking History Kitchen Lab Library Lighthouse Makers Maps Market Mountains Music News Observatory Orchestra
		Photos Poetry Radio River School Science Sailing Street Theatre Travel Volunteers Weather Workshop Writers`)
	vocabulary = strings.Fields(`
		a about after again all also always and another any anybody are around as at away back be because been before bit bread
		bring bus but by call can change city coffee come could day different dinner do door early easy end even evening ever
		everybody file find first for friend from fun garden get give go good group had half has have he hear help her here him
		home hope house how idea if in is it just keep know last late later leave let letter like little long look made make many
		maybe me meeting message minutes month more morning most much music my need never new news next nice night nobody not now
		of often old on once one only open or other our out over page paper people perhaps photo place plan please question
		quick rain read ready really right room said same saw say see send she should show small so some soon something start
		still story street such sun sure take talk tea tell than thanks that the their them then there these they thing think this
		those time to today together tomorrow too train try two under until up very wait walk want was water way we weather week
		well went were what when where which while who why will window with without word work would write year yes yesterday yet
		you your`)
	endings = []string{".", ".", ".", ".", "!", "?", "?", " …", ""}
	emoji   = []string{"👍", "❤️", "😂", "🎉", "😮", "😢", "👀", "🚀", "✅", "🙏"}
)
