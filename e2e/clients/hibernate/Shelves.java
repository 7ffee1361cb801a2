// Hibernate: a schema made, updated and validated, rows made, read, changed and removed.
//
// Behind the scenes: `hbm2ddl` reads the schema by JDBC's DatabaseMetaData (pg_catalog) and information_schema.sequences;
// identifiers come from sequences, 50 at a time; a changed row is named by its key and its version; what a pessimistic
// lock reads has `for no key update` or `for update … skip locked`.
import jakarta.persistence.CascadeType;
import jakarta.persistence.Column;
import jakarta.persistence.ElementCollection;
import jakarta.persistence.Entity;
import jakarta.persistence.EnumType;
import jakarta.persistence.Enumerated;
import jakarta.persistence.FetchType;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.Index;
import jakarta.persistence.Inheritance;
import jakarta.persistence.InheritanceType;
import jakarta.persistence.LockModeType;
import jakarta.persistence.ManyToMany;
import jakarta.persistence.ManyToOne;
import jakarta.persistence.OneToMany;
import jakarta.persistence.OptimisticLockException;
import jakarta.persistence.Table;
import jakarta.persistence.Version;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.hibernate.LockMode;
import org.hibernate.SessionFactory;
import org.hibernate.annotations.ColumnTransformer;
import org.hibernate.cfg.Configuration;

public final class Shelves {
    public enum Kind { NOVEL, ATLAS }

    @Entity(name = "Shelf")
    @Table(name = "hibernate_shelf", indexes = @Index(columnList = "name"))
    public static class Shelf {
        @Id @GeneratedValue Long id;
        @Version int version;
        @Column(nullable = false, length = 40) String name;
        @OneToMany(mappedBy = "shelf", cascade = CascadeType.ALL, orphanRemoval = true)
        List<Book> books = new ArrayList<>();
    }

    @Entity(name = "Book")
    @Table(name = "hibernate_book")
    @Inheritance(strategy = InheritanceType.SINGLE_TABLE)
    public static class Book {
        @Id @GeneratedValue Long id;
        @Column(unique = true) String title;
        Integer pages;
        BigDecimal price;
        LocalDate printed;
        Instant seen;
        @Enumerated(EnumType.STRING) Kind kind;
        @Column(columnDefinition = "jsonb") @ColumnTransformer(write = "cast(? as jsonb)") String facts;
        @ElementCollection Set<String> words = new HashSet<>();
        @ManyToOne(fetch = FetchType.LAZY, optional = false) Shelf shelf;
        @ManyToMany Set<Reader> readers = new HashSet<>();
    }

    @Entity(name = "Manual")
    public static class Manual extends Book {
        String subject;
    }

    @Entity(name = "Reader")
    @Table(name = "hibernate_reader")
    public static class Reader {
        @Id @GeneratedValue(strategy = GenerationType.UUID) UUID id;
        @Column(columnDefinition = "text") String name;
    }

    /** Comes later, so that the schema has to be updated. */
    @Entity(name = "Loan")
    @Table(name = "hibernate_loan")
    public static class Loan {
        @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Long id;
        @ManyToOne Book book;
        @ManyToOne Reader reader;
    }

    private static SessionFactory factory(String schema, Class<?>... entities) {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://%s:%s/%s?sslmode=verify-full&sslrootcert=%s"
            .formatted(env.get("PGHOST"), env.get("PGPORT"), env.get("PGDATABASE"), env.get("PGSSLROOTCERT"));
        Configuration configuration = new Configuration()
            .setProperty("hibernate.connection.url", url)
            .setProperty("hibernate.connection.username", env.get("PGUSER"))
            .setProperty("hibernate.connection.password", env.get("PGPASSWORD"))
            .setProperty("hibernate.jdbc.batch_size", "10")
            // A statement that fails is an error, and not a line of a log.
            .setProperty("hibernate.hbm2ddl.halt_on_error", "true")
            .setProperty("hibernate.hbm2ddl.auto", schema);
        for (Class<?> entity : entities) {
            configuration.addAnnotatedClass(entity);
        }
        return configuration.buildSessionFactory();
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void made(SessionFactory factory) {
        for (int n = 0; n < 20; n++) {
            int number = n;
            factory.inTransaction(session -> {
                Shelf shelf = new Shelf();
                shelf.name = "shelf " + number;
                Reader reader = new Reader();
                reader.name = "reader " + number;
                session.persist(reader);
                for (int m = 0; m < 5; m++) {
                    Book book = m == 4 ? new Manual() : new Book();
                    book.title = number + " " + m;
                    book.pages = m * 10;
                    book.price = new BigDecimal("7.50");
                    book.printed = LocalDate.of(2020, 1, 1 + m);
                    book.seen = Instant.EPOCH;
                    book.kind = m % 2 == 0 ? Kind.NOVEL : Kind.ATLAS;
                    book.facts = "{\"colour\": \"red\"}";
                    book.words.addAll(Set.of("one", "two"));
                    book.readers.add(reader);
                    book.shelf = shelf;
                    shelf.books.add(book);
                }
                session.persist(shelf);
            });
        }
    }

    private static void read(SessionFactory factory) {
        factory.inTransaction(session -> {
            for (int page = 0; page < 4; page++) {
                List<Book> books = session.createQuery("from Book b order by b.title", Book.class)
                    .setFirstResult(page * 25).setMaxResults(25).getResultList();
                expect(books.size() == 25, "a page");
            }
            var shelves = session.createQuery("select distinct s from Shelf s left join fetch s.books where s.name like :n", Shelf.class);
            expect(shelves.setParameter("n", "shelf 1%").getResultList().size() == 11, "shelves");
            var sums = session.createQuery(
                "select s.name, sum(b.pages), count(b) from Shelf s join s.books b group by s.name having count(b) > 1 order by s.name",
                Object[].class);
            expect(sums.getResultList().size() == 20, "groups");
            var words = session.createQuery(
                "select b from Book b join b.readers r where 'one' member of b.words and r.name = :r and b.kind = :k", Book.class);
            expect(words.setParameter("r", "reader 3").setParameter("k", Kind.NOVEL).getResultList().size() == 3, "words");
            expect(session.createQuery("from Manual", Manual.class).getResultList().size() == 20, "manuals");
            var within = session.createQuery(
                "select b.title from Book b where b.pages > (select avg(c.pages) from Book c where c.shelf = b.shelf)", String.class);
            expect(within.getResultList().size() == 40, "sub-select");
            var native_ = session.createNativeQuery("select count(*) from hibernate_book where facts ->> 'colour' = :c", Long.class);
            expect(native_.setParameter("c", "red").getSingleResult() == 100, "native");
            var builder = session.getCriteriaBuilder();
            var criteria = builder.createQuery(Book.class);
            var root = criteria.from(Book.class);
            criteria.where(builder.between(root.get("printed"), LocalDate.of(2020, 1, 2), LocalDate.of(2020, 1, 3)));
            expect(session.createQuery(criteria).getResultList().size() == 40, "criteria");
        });
    }

    private static void changed(SessionFactory factory) {
        for (int n = 0; n < 10; n++) {
            int number = n;
            factory.inTransaction(session -> {
                var next = session.createQuery("from Shelf s order by s.id", Shelf.class).setFirstResult(number).setMaxResults(1);
                Shelf shelf = next.setLockMode(LockModeType.PESSIMISTIC_WRITE).getSingleResult();
                shelf.name = shelf.name + "!";
                shelf.books.get(0).words.add("three");
                session.lock(shelf.books.get(1), LockMode.PESSIMISTIC_READ);
                session.flush();
                session.refresh(shelf);
                session.remove(shelf.books.remove(2));
            });
            factory.inTransaction(session -> {
                var skipped = session.createQuery("from Book b where b.pages = 0", Book.class).setMaxResults(2);
                skipped.setHibernateLockMode(LockMode.UPGRADE_SKIPLOCKED).getResultList().forEach(book -> book.pages = 1);
                session.createMutationQuery("update Book b set b.price = b.price + 1 where b.kind = :k")
                    .setParameter("k", Kind.ATLAS).executeUpdate();
                Shelf shelf = session.createQuery("from Shelf s order by s.id desc", Shelf.class).setMaxResults(1).getSingleResult();
                session.remove(shelf);
            });
        }
    }

    /** Somebody else has changed the row: no row has its key and version. */
    private static void contested(SessionFactory factory) {
        Shelf stale = factory.fromTransaction(s -> s.createQuery("from Shelf", Shelf.class).setMaxResults(1).getSingleResult());
        factory.inTransaction(session -> session.find(Shelf.class, stale.id).name = "other");
        try {
            factory.inTransaction(session -> {
                stale.name = "late";
                session.merge(stale);
            });
            throw new AssertionError("nothing was lost");
        } catch (OptimisticLockException expected) {
            expect(expected.getMessage() != null, "a message");
        }
    }

    public static void main(String[] arguments) {
        Class<?>[] first = {Shelf.class, Book.class, Manual.class, Reader.class};
        Class<?>[] all = {Shelf.class, Book.class, Manual.class, Reader.class, Loan.class};
        try (SessionFactory factory = factory("create", first)) {
            made(factory);
            read(factory);
        }
        try (SessionFactory factory = factory("update", all)) {
            changed(factory);
            contested(factory);
        }
        factory("validate", all).close();
        // Made anew, and dropped at its end.
        factory("create-drop", all).close();
        System.out.println("ok");
    }
}
