package classicmodels

// productLines with the share of each, of 110, in slots below. Names are the sample database's,
// since dashboards and models are written against them; every other text is our own.
var productLines = [...]struct{ name, description string }{
	{"Classic Cars", "Cars of the years from the war to the oil crisis, with doors that open and engines worth a " +
		"look. For the shelf, the desk and the well-behaved child."},
	{"Motorcycles", "Singles, twins and the odd four, with chains that turn and stands that hold. Each one leaves " +
		"the factory with its own number."},
	{"Planes", "Airliners, mail carriers and trainers on a stand of turned beech. Propellers spin; tyres are real " +
		"rubber."},
	{"Ships", "Hulls planked by hand, rigging tied by hand, brass where there was brass. Every ship comes with a " +
		"drawing of its rigging."},
	{"Trains", "Locomotives and carriages for the display case, with couplings and lamps in their places."},
	{"Trucks and Buses", "Working vehicles: tippers, tankers, milk floats and the number nine bus. Loads and " +
		"ladders come off."},
	{"Vintage Cars", "From the first horseless carriages to the last running boards. Spoked wheels, leather straps " +
		"and a crank that fits."},
}

// productScales, large to small.
var productScales = [...]string{"1:10", "1:12", "1:18", "1:24", "1:32", "1:50", "1:72", "1:700"}

// productSlots gives the 110 products of one block their line and scale, so that both counts are
// the sample database's.
var productSlots = func() (slots [productsPerBlock]struct{ line, scale int }) {
	counts := [len(productLines)][len(productScales)]int{
		{3, 4, 20, 9, 2, 0, 0, 0}, // Classic Cars
		{3, 2, 3, 3, 1, 1, 0, 0},  // Motorcycles
		{0, 0, 3, 3, 0, 0, 3, 3},  // Planes
		{0, 0, 0, 1, 0, 0, 1, 7},  // Ships
		{0, 0, 1, 0, 1, 1, 0, 0},  // Trains
		{0, 1, 3, 2, 3, 2, 0, 0},  // Trucks and Buses
		{0, 2, 12, 9, 1, 0, 0, 0}, // Vintage Cars
	}
	next := 0
	for line, scales := range counts {
		for scale, count := range scales {
			for range count {
				slots[next].line, slots[next].scale = line, scale
				next++
			}
		}
	}
	return slots
}()

var vendors = []string{
	"Ashgrove Die Works", "Bellwether Castings", "Carillon Replicas", "Dovetail & Sons", "Elmhurst Scale Studio",
	"Fernhill Foundry", "Gantry Lane Models", "Hobnail Miniatures", "Inkwell Motor Art", "Juniper Tin Company",
	"Kestrel Bench Works", "Lantern Street Toys", "Mallard Precision",
}

// makes and models are invented: a year and one of each name a product.
var (
	makes = []string{
		"Aldermoor", "Brannock", "Calvera", "Dunmarrow", "Esterline", "Falkenried", "Galtera", "Harrowby", "Ivarsen",
		"Jessamy",
		"Kilbrae", "Lorrimont", "Montclave", "Norrholm", "Ostrava Sport", "Pellerin", "Quillon", "Rosweir", "Santoval",
		"Tarrent",
		"Umbriel", "Valdorno", "Wetherall", "Yarrowdale", "Zellerbach",
	}
	models = [len(productLines)][]string{
		{"Roadster", "Coupé", "Fastback", "Grand Tourer", "Convertible", "Hardtop", "Saloon", "Rally", "Spyder",
			"Estate"},
		{"Single 350", "Twin 500", "Scrambler", "Café Racer", "Sidecar", "Tourer 750", "Speedway", "Trials 250"},
		{"Mail Plane", "Floatplane", "Trijet", "Turboprop", "Biplane", "Glider Tug", "Crop Duster", "Night Airliner"},
		{"Brigantine", "Cutter", "Steam Packet", "Clipper", "Lightship", "Paddle Steamer", "Trawler"},
		{"Tank Engine", "Railcar", "Night Express", "Shunter"},
		{"Tipper", "Tanker", "Double Decker", "Milk Float", "Fire Engine", "Flatbed", "Coach", "Post Van"},
		{"Phaeton", "Landaulet", "Runabout", "Touring Car", "Limousine", "Tonneau", "Torpedo", "Town Car"},
	}
	firstYears = [len(productLines)]int{1948, 1926, 1919, 1810, 1868, 1924, 1898}
	details    = []string{
		"Bonnet and boot open", "Steering turns the front wheels", "Finished in four coats of baked enamel",
		"The interior is flocked, with a wooden dash", "Wheels are rubber on turned hubs",
		"Chrome parts are plated, not painted",
		"A printed plate names the series", "The underside shows exhaust and springs", "Lamps have clear lenses",
		"Supplied in a numbered box with a magnifier", "Decals are fitted by hand", "Doors close with a click",
	}
)

// region is how names, streets and telephones look in a part of the world.
type region struct {
	first, last, streets []string
	numberAfter          bool
	company              []string
	dial                 string
}

// regions are kept within latin1, as the sample database's file is.
var regions = map[string]*region{
	"english": {
		first: []string{"Alice", "Martin", "Joanne", "Peter", "Helen", "Owen", "Ruth", "Duncan", "Fiona", "Graham",
			"Nora", "Caleb", "Wendy", "Isaac"},
		last: []string{"Thornbury", "Pike", "Ellery", "Vance", "Marsh", "O'Dowd", "Halloran", "Prescott", "Whitlock",
			"Quill", "Sutter", "Abbot", "Lindqvist", "Rowe"},
		streets: []string{"Kiln Street", "Foundry Lane", "Old Harbor Road", "Mill Race Drive", "Quarry Hill",
			"Station Approach", "Lantern Court", "Ropewalk"},
		company: []string{"Inc.", "Ltd.", "Co.", "& Daughters", "Stores", "LLC"}, dial: "555",
	},
	"french": {
		first: []string{"Amélie", "Benoît", "Hélène", "François", "Léa", "Rémi", "Zoé", "Gaëtan", "Chloé", "Étienne"},
		last: []string{"Bréval", "Côtier", "Desnoyers", "Faucheux", "Garancière", "Hérault", "Lemoine-Duc",
			"Péchard", "Vautrin"},
		streets: []string{"rue des Tanneurs", "quai de la Forge", "allée du Pré", "rue de l'Étang",
			"place du Marché-Neuf"},
		company: []string{"SARL", "et Fils", "S.A.", "& Cie"}, dial: "40",
	},
	"german": {
		first: []string{"Jürgen", "Käthe", "Sören", "Anneliese", "Björn", "Ulrike", "Götz", "Heike"},
		last: []string{"Drößler", "Mühlbach", "Köhnke", "Sandvoß", "Brüggen", "Asmussen", "Lüttich",
			"Weißhaupt"},
		streets:     []string{"Gießereiweg", "Am Brückentor", "Mühlenstraße", "Kesselgasse", "Lindenzeile"},
		numberAfter: true,
		company:     []string{"GmbH", "KG", "& Söhne", "AG"}, dial: "069",
	},
	"spanish": {
		first:       []string{"Íñigo", "Begoña", "Joaquín", "Lucía", "Ramón", "Inés", "Andrés", "Pilar"},
		last:        []string{"Cañizares", "Peñalver", "Ordóñez", "Zubiría", "Galván", "Núñez del Río", "Barragán"},
		streets:     []string{"C/ del Yunque,", "Avda. de los Tilos,", "C/ Peñas Altas,", "Paseo del Muelle,"},
		numberAfter: true,
		company:     []string{"S.L.", "e Hijos", "S.A."}, dial: "91",
	},
	"italian": {
		first:       []string{"Niccolò", "Chiara", "Gioele", "Beatrice", "Ettore", "Noemi"},
		last:        []string{"Scarpellini", "Dall'Orto", "Moncalvo", "Ferrabò", "Tessadri", "Virgadamo"},
		streets:     []string{"Via delle Fucine", "Corso dell'Olmo", "Vicolo Stretto", "Piazza del Sàlice"},
		numberAfter: true,
		company:     []string{"s.r.l.", "e Figli", "S.p.A."}, dial: "011",
	},
	"nordic": {
		first:   []string{"Åse", "Jørn", "Märta", "Øyvind", "Sølvi", "Håkan", "Päivi", "Kaarlo"},
		last:    []string{"Brækstad", "Sjöholm", "Ødegård", "Hyvärinen", "Lindegård", "Kjærsgaard"},
		streets: []string{"Smedjegatan", "Bryggeveien", "Møllestræde", "Sepänkatu", "Åkervägen"}, numberAfter: true,
		company: []string{"AB", "A/S", "Oy", "& Sønn"}, dial: "07",
	},
	"pacific": {
		first:   []string{"Haruka", "Kenji", "Mei Lin", "Wei Jie", "Rosario", "Tomoko", "Siu Ming"},
		last:    []string{"Okabayashi", "Tamesada", "Chew", "Lau", "Villaflor", "Hironaka", "Ong"},
		streets: []string{"Anvil Road", "Ferry Terrace", "Kaji-machi", "Lotus Walk"},
		company: []string{"Co., Ltd", "Pte Ltd", "Trading"}, dial: "03",
	},
}

type country struct {
	market int
	region string
	postal string // # is a digit, ? a letter; empty: the country's addresses have no code
}

// countries with the market whose taste they share. The four markets have about as many customers
// each.
var countries = map[string]country{
	"USA": {0, "english", "#####"},

	"Germany": {1, "german", "#####"}, "Austria": {1, "german", "####"}, "Switzerland": {1, "german", "####"},
	"Belgium": {1, "french", "B-####"}, "Norway": {1, "nordic", "N ####"}, "Sweden": {1, "nordic", "S-### ##"},
	"Denmark": {1, "nordic", "####"}, "Finland": {1, "nordic", "#####"},

	"France": {2, "french", "#####"}, "Spain": {2, "spanish", "#####"}, "Italy": {2, "italian", "#####"},

	"Canada": {3, "english", "?#? #?#"}, "UK": {3, "english", "??# #??"}, "Ireland": {3, "english", "#"},
	"Australia": {3, "english", "####"}, "New Zealand": {3, "english", ""}, "Japan": {3, "pacific", "### ####"},
	"Singapore": {3, "pacific", "######"}, "Philippines": {3, "pacific", "#### FE"}, "Hong Kong": {3, "pacific", ""},

	// Only customers without orders live here.
	"Poland": {1, "german", "##-###"}, "Portugal": {2, "spanish", ""}, "Netherlands": {1, "german", "#### ??"},
	"South Africa": {3, "english", "####"}, "Israel": {2, "english", "#####"}, "Estonia": {1, "nordic", "#####"},
	"Iceland": {1, "nordic", "###"},
}

type place struct{ city, state, country string }

func (p place) market() int { return countries[p.country].market }

// orderingPlaces are the 77 cities in 21 countries of the customers with orders.
var orderingPlaces = [...]place{
	{"New York", "NY", "USA"}, {"Chicago", "IL", "USA"}, {"Seattle", "WA", "USA"}, {"Portland", "OR", "USA"},
	{"Denver", "CO", "USA"},
	{"Austin", "TX", "USA"}, {"Houston", "TX", "USA"}, {"Atlanta", "GA", "USA"}, {"Miami", "FL", "USA"},
	{"Detroit", "MI", "USA"},
	{"Cleveland", "OH", "USA"}, {"Pittsburgh", "PA", "USA"}, {"Baltimore", "MD", "USA"}, {"Richmond", "VA", "USA"},
	{"Raleigh", "NC", "USA"},
	{"Nashville", "TN", "USA"}, {"Milwaukee", "WI", "USA"}, {"Minneapolis", "MN", "USA"}, {"Saint Louis", "MO", "USA"},
	{"Omaha", "NE", "USA"},
	{"Tucson", "AZ", "USA"}, {"Sacramento", "CA", "USA"}, {"San José", "CA", "USA"}, {"Santa Fe", "NM", "USA"},
	{"Montréal", "Québec", "Canada"}, {"Vancouver", "BC", "Canada"}, {"Halifax", "NS", "Canada"},
	{"Winnipeg", "MB", "Canada"},
	{"Paris", "", "France"}, {"Lyon", "", "France"}, {"Nîmes", "", "France"}, {"Orléans", "", "France"},
	{"Saint-Étienne", "", "France"},
	{"Bordeaux", "", "France"}, {"Rennes", "", "France"}, {"Dijon", "", "France"},
	{"München", "", "Germany"}, {"Köln", "", "Germany"}, {"Lübeck", "", "Germany"}, {"Leipzig", "", "Germany"},
	{"Nürnberg", "", "Germany"},
	{"Bremen", "", "Germany"}, {"Kassel", "", "Germany"},
	{"Málaga", "", "Spain"}, {"Cádiz", "", "Spain"}, {"Zaragoza", "", "Spain"}, {"A Coruña", "", "Spain"},
	{"Leeds", "", "UK"}, {"Bristol", "", "UK"}, {"Glasgow", "", "UK"}, {"Norwich", "", "UK"},
	{"Torino", "", "Italy"}, {"Bologna", "", "Italy"}, {"Forlì", "", "Italy"},
	{"Tromsø", "", "Norway"}, {"Bergen", "", "Norway"}, {"Göteborg", "", "Sweden"}, {"Umeå", "", "Sweden"},
	{"Århus", "", "Denmark"},
	{"Odense", "", "Denmark"}, {"Oulu", "", "Finland"}, {"Jyväskylä", "", "Finland"}, {"Liège", "", "Belgium"},
	{"Graz", "", "Austria"},
	{"Innsbruck", "", "Austria"}, {"Zürich", "", "Switzerland"}, {"Cork", "Co. Cork", "Ireland"},
	{"Melbourne", "Victoria", "Australia"}, {"Brisbane", "Queensland", "Australia"},
	{"Hobart", "Tasmania", "Australia"},
	{"Wellington", "", "New Zealand"}, {"Dunedin", "", "New Zealand"}, {"Kobe", "Hyogo", "Japan"},
	{"Sapporo", "", "Japan"},
	{"Singapore", "", "Singapore"}, {"Cebu", "", "Philippines"}, {"Kowloon", "", "Hong Kong"},
}

// busyPlaces are the indices of the cities with several customers.
var busyPlaces = []int{0, 5, 22, 28, 29, 36, 37, 43, 44, 47, 51, 67}

// silentPlaces are the 18 cities that only customers without orders live in.
var silentPlaces = [...]place{
	{"Lisboa", "", "Portugal"}, {"Porto", "", "Portugal"}, {"Coimbra", "", "Portugal"}, {"Kraków", "", "Poland"},
	{"Utrecht", "", "Netherlands"},
	{"Delft", "", "Netherlands"}, {"Cape Town", "Western Cape", "South Africa"},
	{"Durban", "KwaZulu-Natal", "South Africa"}, {"Sevilla", "", "Spain"},
	{"Valencia", "", "Spain"}, {"Bayreuth", "", "Germany"}, {"Heidelberg", "", "Germany"}, {"Münster", "", "Germany"},
	{"Fribourg", "", "Switzerland"},
	{"Lausanne", "", "Switzerland"}, {"Haifa", "", "Israel"}, {"Tallinn", "", "Estonia"}, {"Reykjavík", "", "Iceland"},
}

var companyWords = [2][]string{
	{
		"Amber", "Beacon", "Cobblestone", "Driftwood", "Evergreen", "Fable", "Gingham", "Heron", "Ironbark", "Jetty",
		"Kingfisher", "Lamplight",
		"Meridian", "Nutmeg", "Orchard", "Pinwheel", "Quicksilver", "Rook", "Saffron", "Tinder", "Upland", "Velvet",
		"Windmill", "Yonder",
	},
	{"Collectors", "Curios", "Gifts", "Hobby House", "Keepsakes", "Miniatures", "Model Shop", "Replicas", "Scale Works",
		"Toy Cabinet", "Wheels"},
}

var orderComments = []string{
	"Customer asks that two boxes be packed in one.", "Deliver to the side entrance; the bell is broken.",
	"Customer's agent will collect from the depot.", "Please check the decals on the larger models before packing.",
	"They've asked us to invoice in two parts.", "Freight forwarder changed: see \"new terms\" of last month.",
	"Gift wrap wanted\nCard reads: félicitations!", "Limit is nearly reached; call before sending more.",
	"Samples for the spring fair, to be returned.", "Confirmed by telephone. ",
}
